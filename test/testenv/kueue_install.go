// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

const (
	kueueGroup = "kueue.x-k8s.io"
	// kueueSecret is where Kueue keeps its certificate and the authority's key.
	kueueSecret = "kueue-webhook-server-cert"
)

// kueueConverted are the resources that Kueue converts between their versions.
var kueueConverted = []string{"clusterqueues", "cohorts", "localqueues", "multikueueclusters", "workloads"}

// writeConfiguration writes Kueue's configuration: nothing listens on another address than
// 127.0.0.1, and Jobs are the only kind that it cares about.
func (k *Kueue) writeConfiguration() error {
	configuration := map[string]any{
		"apiVersion":             "config.kueue.x-k8s.io/v1beta2",
		"kind":                   "Configuration",
		"namespace":              KueueNamespace,
		"health":                 map[string]any{"healthProbeBindAddress": hostPort(k.config.Ports.Health)},
		"metrics":                map[string]any{"bindAddress": "0"},
		"webhook":                map[string]any{"host": loopback, "port": k.config.Ports.Webhook, "certDir": k.pki()},
		"leaderElection":         map[string]any{"leaderElect": false},
		"internalCertManagement": map[string]any{"enable": true},
		"integrations":           map[string]any{"frameworks": []string{"batch/job"}},
		// It would serve an aggregated API on all addresses.
		"featureGates": map[string]any{"VisibilityOnDemand": false},
	}
	if k.config.Role == KueueManager {
		configuration["multiKueue"] = map[string]any{"gcInterval": "30s", "origin": k.config.Cluster.Name(), "workerLostTimeout": "20s"}
	}
	if k.config.Edit != nil {
		k.config.Edit(configuration)
	}
	data, err := yaml.Marshal(configuration)
	if err != nil {
		return err
	}
	return writeIfChanged(k.configuration(), data)
}

// DispatchByPlacement has Kueue's configuration say that clusters are nominated by
// clusterpass-controller-manager, as the kustomization artifacts/deploy/multikueue-dispatcher asks
// for.
func DispatchByPlacement(configuration map[string]any) {
	configuration["multiKueue"].(map[string]any)["dispatcherName"] = "clusterpass.dev/placement"
	configuration["integrations"].(map[string]any)["labelKeysToCopy"] = []string{"clusterpass.dev/placement"}
}

// Install applies to the cluster what Kueue is deployed with (CRDs, RBAC, the Secret with its
// certificate) and waits until the CRDs are served. Installed again unchanged, nothing is written.
func (k *Kueue) Install(ctx context.Context) error {
	if err := k.install(ctx); err != nil {
		return fmt.Errorf("installing Kueue on %s: %w", k.config.Cluster.Name(), err)
	}
	return nil
}

func (k *Kueue) install(ctx context.Context) error {
	if err := k.writeKustomization(); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(k.config.Cluster.RESTConfig())
	if err != nil {
		return err
	}
	if err := applyNamespace(ctx, client, KueueNamespace); err != nil {
		return err
	}
	if err := k.applySecret(ctx, client); err != nil {
		return err
	}
	if err := applyKustomizationAt(ctx, k.config.Cluster, k.manifests()); err != nil {
		return err
	}
	return waitEstablished(ctx, k.config.Cluster, kueueGroup)
}

// writeKustomization writes what turns the manifests of Kueue's sources into an installation, as
// Kueue's own kustomization does, but with a URL for the conversion webhook: a cluster without
// nodes has no Services.
func (k *Kueue) writeKustomization() error {
	program, err := KueuePath()
	if err != nil {
		return err
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return err
	}
	// kubectl takes other directories by relative paths only, and resolves links before.
	base, err := filepath.EvalSymlinks(k.manifests())
	if err != nil {
		return err
	}
	from, err := filepath.Rel(base, filepath.Dir(program))
	if err != nil {
		return err
	}
	patches := make([]map[string]any, 0, len(kueueConverted))
	for _, resource := range kueueConverted {
		patch, err := yaml.Marshal(k.conversionPatch(resource))
		if err != nil {
			return err
		}
		patches = append(patches, map[string]any{"patch": string(patch)})
	}
	data, err := yaml.Marshal(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1",
		"kind":       "Kustomization",
		"namespace":  KueueNamespace,
		"namePrefix": "kueue-",
		"resources":  []string{filepath.Join(from, "crds"), filepath.Join(from, "rbac")},
		"patches":    patches,
	})
	if err != nil {
		return err
	}
	return writeIfChanged(filepath.Join(k.manifests(), "kustomization.yaml"), data)
}

// conversionPatch returns the patch that has a CRD converted by this Kueue.
func (k *Kueue) conversionPatch(resource string) map[string]any {
	return map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1",
		"kind":       "CustomResourceDefinition",
		"metadata":   map[string]any{"name": resource + "." + kueueGroup},
		"spec": map[string]any{"conversion": map[string]any{
			"strategy": "Webhook",
			"webhook": map[string]any{
				"clientConfig": map[string]any{
					"url": httpsURL(k.config.Ports.Webhook) + "/convert",
					// Kueue puts the same one there.
					"caBundle": k.ca.bundle(),
				},
				"conversionReviewVersions": []string{"v1"},
			},
		}},
	}
}

// applySecret applies the certificate as Kueue keeps it, which reads it there and, as a kubelet
// would have put it, in the directory of its configuration.
func (k *Kueue) applySecret(ctx context.Context, client kubernetes.Interface) error {
	data := map[string][]byte{}
	for _, name := range []string{"ca.crt", "ca.key", "tls.crt", "tls.key"} {
		var err error
		if data[name], err = os.ReadFile(filepath.Join(k.pki(), name)); err != nil {
			return err
		}
	}
	_, err := client.CoreV1().Secrets(KueueNamespace).Apply(ctx, corev1ac.Secret(kueueSecret, KueueNamespace).WithData(data), applied)
	return err
}
