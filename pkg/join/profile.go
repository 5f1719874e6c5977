// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
	"clusterpass.dev/pkg/taints"
)

const (
	statusPart   = "status"
	managerLabel = inventoryv1alpha1.LabelClusterManagerKey
	// execExtension is the extension that KEP-5339 reserves for what a provider has to know of a
	// cluster.
	execExtension = "client.authentication.k8s.io/exec"
	// consumersProvider is the access provider that clusterpass-credential-plugin is for.
	consumersProvider = "clusterpass"
)

var (
	profileKind = inventoryv1alpha1.GroupVersion.WithKind("ClusterProfile")
	grantKind   = clusterpassv1alpha1.SchemeGroupVersion.WithKind("AuthTokenGrant")
)

// profile returns the ClusterProfile, nil if there is none.
func (j *joiner) profile(ctx context.Context) (*inventoryv1alpha1.ClusterProfile, error) {
	o, err := j.hub.get(ctx, profileKind, j.Namespace, j.Name)
	if err != nil || o == nil {
		return nil, err
	}
	profile := &inventoryv1alpha1.ClusterProfile{}
	return profile, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, profile)
}

// checkProfile refuses a ClusterProfile that is there and is for another cluster, or another
// cluster manager's.
func (j *joiner) checkProfile(ctx context.Context, o *Options, secret *corev1.Secret) error {
	profile, err := j.profile(ctx)
	if err != nil {
		return err
	}
	id := ""
	if secret != nil {
		id = secret.Annotations[memberIDAnnotation]
	}
	if profile != nil {
		if err := j.checkManager(profile); err != nil {
			return err
		}
		if noted := profile.Annotations[memberIDAnnotation]; noted != "" {
			id = noted
		}
	}
	j.sameMember = id == j.memberID
	switch {
	case id != "" && id != j.memberID && profile == nil:
		return fmt.Errorf("hub: Secret %s, of ClusterProfile %s that is gone, is for another cluster: "+
			"the UID of its namespace kube-system is %s, and the member's is %s. %s", secret.Name, j.profileName(), id, j.memberID, j.unjoinHint())
	case id != "" && id != j.memberID:
		return fmt.Errorf("hub: ClusterProfile %s is for another cluster: the UID of its namespace kube-system is %s, and the member's is %s. %s",
			j.profileName(), id, j.memberID, j.unjoinHint())
	case id == "" && profile != nil && leadsElsewhere(profile, &o.Member):
		return fmt.Errorf("hub: ClusterProfile %s leads to a cluster of another address or CA. %s", j.profileName(), j.unjoinHint())
	}
	return nil
}

func (j *joiner) unjoinHint() string {
	return fmt.Sprintf("Remove it first: kubectl clusterpass unjoin %s -n %s", j.Name, j.Namespace)
}

func (j *joiner) checkManager(profile *inventoryv1alpha1.ClusterProfile) error {
	if manager := profile.Spec.ClusterManager.Name; manager != j.ClusterManager {
		return fmt.Errorf("hub: ClusterProfile %s belongs to the cluster manager %q, not to %q; see --cluster-manager",
			j.profileName(), manager, j.ClusterManager)
	}
	return nil
}

// leadsElsewhere returns whether a profile has an access provider of ours to another address or CA.
func leadsElsewhere(profile *inventoryv1alpha1.ClusterProfile, m *Member) bool {
	for i := range profile.Status.AccessProviders {
		provider := &profile.Status.AccessProviders[i]
		if provider.Name != configv1alpha1.DefaultProviderName {
			continue
		}
		ca, err := endpoint.CleanBundle(provider.Cluster.CertificateAuthorityData)
		if err != nil || provider.Cluster.Server != m.Endpoint.Server || !bytes.Equal(ca, m.Endpoint.CertificateAuthorityData) {
			return true
		}
	}
	return false
}

// profileReady makes the hub have the ClusterProfile, with an access provider that leads to the
// Secret.
func (j *joiner) profileReady(ctx context.Context, o *Options) error {
	labels := maps.Clone(o.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[managerLabel] = j.ClusterManager
	annotations := map[string]string{memberIDAnnotation: j.memberID}
	// From the beginning, so that no placement selects the cluster first.
	tainted, err := j.taintsFor(ctx, o)
	if err != nil {
		return err
	}
	if tainted != "" {
		annotations[clusterpassv1alpha1.AnnotationTaints] = tainted
	}
	profile := &inventoryv1alpha1.ClusterProfile{
		TypeMeta: metav1.TypeMeta{APIVersion: profileKind.GroupVersion().String(), Kind: profileKind.Kind},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: j.Namespace, Name: j.Name,
			Labels:      labels,
			Annotations: annotations,
		},
		Spec: inventoryv1alpha1.ClusterProfileSpec{
			DisplayName:    j.Name,
			ClusterManager: inventoryv1alpha1.ClusterManager{Name: j.ClusterManager},
		},
	}
	u, err := toUnstructured(profile)
	if err != nil {
		return err
	}
	delete(u.Object, statusPart)
	if err := j.hub.apply(ctx, u, nil); err != nil {
		return err
	}
	if err := j.taintsReady(ctx, tainted); err != nil {
		return err
	}
	return j.accessReady(ctx, o)
}

// accessReady applies the access providers to the profile's status, and leaves the rest of that to
// its owners.
func (j *joiner) accessReady(ctx context.Context, o *Options) error {
	printChange := map[string]any{configv1alpha1.DefaultProviderName: map[string]string{
		"name": j.secretName, "key": kubeconfigKey, "namespace": SystemNamespace,
	}}
	if o.Consumers != nil {
		request := o.Consumers.DeepCopy()
		request.TargetClusterProfile = multiclusterv1alpha1.ClusterProfileReference{Namespace: j.Namespace, Name: j.Name}
		printChange[consumersProvider] = request
	}
	var entries []any
	for _, name := range slices.Sorted(maps.Keys(printChange)) {
		provider, err := accessProvider(&o.Member, name, printChange[name])
		if err != nil {
			return err
		}
		entry, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&provider)
		if err != nil {
			return err
		}
		entries = append(entries, entry)
	}
	status := map[string]any{"accessProviders": entries}
	if err := j.doubtHealth(ctx, o, status); err != nil {
		return err
	}
	u := &unstructured.Unstructured{Object: map[string]any{statusPart: status}}
	u.SetGroupVersionKind(profileKind)
	u.SetNamespace(j.Namespace)
	u.SetName(j.Name)
	return j.hub.apply(ctx, u, nil, statusPart)
}

// accessProvider returns the entry of a provider that is told extension, as JSON, of the cluster.
func accessProvider(m *Member, name string, extension any) (inventoryv1alpha1.AccessProvider, error) {
	raw, err := json.Marshal(extension)
	if err != nil {
		return inventoryv1alpha1.AccessProvider{}, err
	}
	return inventoryv1alpha1.AccessProvider{
		Name: name,
		Cluster: clientcmdv1.Cluster{
			Server:                   m.Endpoint.Server,
			CertificateAuthorityData: m.Endpoint.CertificateAuthorityData,
			TLSServerName:            m.Endpoint.TLSServerName,
			ProxyURL:                 m.Endpoint.ProxyURL,
			Extensions:               []clientcmdv1.NamedExtension{{Name: execExtension, Extension: runtime.RawExtension{Raw: raw}}},
		},
	}, nil
}

// taintManager owns the taints that join has set, so that they stay when the cluster is joined
// again without any.
const taintManager = FieldManager + "-taints"

// ParseTaint returns the taint that is written KEY[=VALUE]:EFFECT, as kubectl has it for nodes.
func ParseTaint(written string) (clusterpassv1alpha1.ClusterTaint, error) {
	pair, effect, found := strings.Cut(written, ":")
	key, value, _ := strings.Cut(pair, "=")
	taint := clusterpassv1alpha1.ClusterTaint{Key: key, Value: value, Effect: clusterpassv1alpha1.TaintEffect(effect)}
	if !found {
		return taint, fmt.Errorf("taint %q is not KEY[=VALUE]:EFFECT", written)
	}
	encoded, err := json.Marshal([]clusterpassv1alpha1.ClusterTaint{taint})
	if err != nil {
		return taint, err
	}
	if _, err := taints.Parse(string(encoded)); err != nil {
		return taint, fmt.Errorf("taint %q is not KEY[=VALUE]:EFFECT: %w", written, err)
	}
	return taint, nil
}

// taintsFor returns the value of the annotation with the taints that o asks for and those that
// profile has besides; it is empty if o asks for none.
func (j *joiner) taintsFor(ctx context.Context, o *Options) (string, error) {
	if len(o.Taints) == 0 {
		return "", nil
	}
	profile, err := j.profile(ctx)
	if err != nil {
		return "", err
	}
	var present []clusterpassv1alpha1.ClusterTaint
	if profile != nil && profile.Annotations[clusterpassv1alpha1.AnnotationTaints] != "" {
		if present, err = taints.Parse(profile.Annotations[clusterpassv1alpha1.AnnotationTaints]); err != nil {
			return "", fmt.Errorf("hub: annotation %s of ClusterProfile %s: %w", clusterpassv1alpha1.AnnotationTaints, j.profileName(), err)
		}
	}
	merged, err := json.Marshal(mergeTaints(present, o.Taints, metav1.Now()))
	return string(merged), err
}

// mergeTaints returns the taints that are present, with those that are wanted in place of others of
// their key and effect.
func mergeTaints(present, wanted []clusterpassv1alpha1.ClusterTaint, now metav1.Time) []clusterpassv1alpha1.ClusterTaint {
	merged := slices.Clone(present)
	for _, taint := range wanted {
		i := slices.IndexFunc(merged, func(t clusterpassv1alpha1.ClusterTaint) bool { return t.Key == taint.Key && t.Effect == taint.Effect })
		taint.TimeAdded = metav1.NewTime(now.UTC())
		switch {
		case i < 0:
			merged = append(merged, taint)
		case merged[i].Value != taint.Value:
			merged[i] = taint
		}
	}
	return merged
}

// taintsReady owns the taints for good: what the ClusterProfile was applied with goes when it is
// applied without.
func (j *joiner) taintsReady(ctx context.Context, value string) error {
	if value == "" {
		return nil
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(profileKind)
	u.SetNamespace(j.Namespace)
	u.SetName(j.Name)
	u.SetAnnotations(map[string]string{clusterpassv1alpha1.AnnotationTaints: value})
	return j.hub.applyAs(ctx, taintManager, u, nil)
}
