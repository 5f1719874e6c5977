// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"context"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/apis/meta"
	fluxclient "github.com/fluxcd/pkg/runtime/client"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestFlux_Client(t *testing.T) {
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			if err := fluxClient(t, secret(t, test.name)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFlux_KeyValue(t *testing.T) {
	withoutValue := secret(t, "plain")
	delete(withoutValue.Data, "value")
	if err := fluxClient(t, withoutValue); err == nil || !strings.Contains(err.Error(), "'value' key") {
		t.Errorf("got %v: the Secret needs no key value", err)
	}
}

// All of the kubeconfig is read.
func TestFlux_KubeConfigFromBytes(t *testing.T) {
	for _, test := range cases {
		t.Run(test.name, func(t *testing.T) {
			config, err := fluxclient.KubeConfigFromBytes(secret(t, test.name).Data["value"])
			if err != nil {
				t.Fatal(err)
			}
			test.check(t, fluxclient.KubeConfig(offline(t), config, fluxclient.KubeConfigOptions{}))
		})
	}
}

// fluxClient has Flux make a client as for a Kustomization whose spec.kubeConfig.secretRef
// names the Secret and no key.
func fluxClient(t *testing.T, secret *corev1.Secret) error {
	t.Helper()
	reference := &meta.KubeConfigReference{SecretRef: &meta.SecretKeyReference{Name: secret.Name}}
	impersonator := fluxclient.NewImpersonator(oneSecret{secret: secret},
		fluxclient.WithKubeConfig(reference, fluxclient.KubeConfigOptions{}, "flux-system", nil))
	_, _, err := impersonator.GetClient(offline(t))
	return err
}

// offline returns a context that has ended: Flux asks the cluster about its flow control, and goes
// on without an answer.
func offline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// oneSecret is a client for a hub with nothing but a Secret.
type oneSecret struct {
	client.Client
	secret *corev1.Secret
}

func (c oneSecret) Get(_ context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	c.secret.DeepCopyInto(object.(*corev1.Secret))
	return nil
}
