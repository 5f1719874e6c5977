// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hostile tests what members can do to a hub that lie in every way there is, about
// everything that they are asked: against the server, the controller manager and what users see of
// both.
package hostile

import (
	"context"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

const (
	poll = 100 * time.Millisecond
	// heapPoll is how often memory is looked at.
	heapPoll = 250 * time.Millisecond
	// honest is the member that tells the truth.
	honest = "smartfish"
)

// fleet is a hub with both programs, an honest member, and one member for each lie and what it is
// about.
type fleet struct {
	hub      *testenv.Cluster
	server   *testenv.Server
	manager  *testenv.ControllerManager
	liar     *liar
	admin    kubernetes.Interface
	profiles inventoryclient.ClusterProfileInterface
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{hub: testenv.Start(t, testenv.Options{})}
	bravelion, smartfish := testenv.Start(t, testenv.Options{Name: "bravelion"}), testenv.Start(t, testenv.Options{Name: honest})
	f.server = testenv.StartServer(t, f.hub, testenv.ServerConfig{Args: []string{"--v=4"}})
	f.admin, f.profiles = f.hub.Kube(t), f.hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	require.NoError(t, testenv.Join(t.Context(), f.hub, bravelion, "default", "bravelion"))
	require.NoError(t, testenv.Join(t.Context(), f.hub, smartfish, "default", honest))
	f.liar = startLiar(t, bravelion.RESTConfig())
	original := testenv.Get(t, f.profiles, "bravelion")
	for what := range about {
		for lie := range f.liar.lies {
			f.add(t, original, what, lie)
		}
	}
	return f
}

// nameOf returns the name of the member that tells a lie about something.
func nameOf(what, lie string) string { return what + "-" + lie }

// add has the hub know a member that tells a lie about something.
func (f *fleet) add(t *testing.T, original *inventoryv1alpha1.ClusterProfile, what, lie string) {
	t.Helper()
	name := nameOf(what, lie)
	secrets := f.admin.CoreV1().Secrets(testenv.SystemNamespace)
	secret := testenv.Get(t, secrets, "member-default-"+original.Name)
	config := testenv.Must[*clientcmdapi.Config](t)(clientcmd.Load(secret.Data["kubeconfig"]))
	for _, cluster := range config.Clusters {
		cluster.Server = f.liar.URL + "/" + what + "/" + lie
		cluster.CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.liar.Certificate().Raw})
	}
	annotations := map[string]string{"clusterpass.dev/cluster-profile": "default/" + name}
	testenv.Create(t, secrets, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "member-default-" + name, Labels: secret.Labels, Annotations: annotations},
		Data:       map[string][]byte{"kubeconfig": testenv.Must[[]byte](t)(clientcmd.Write(*config))},
	})
	profile := testenv.Create(t, f.profiles, &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: original.Spec})
	original.Status.DeepCopyInto(&profile.Status)
	extension := &profile.Status.AccessProviders[0].Cluster.Extensions[0].Extension
	extension.Raw = []byte(strings.ReplaceAll(string(extension.Raw), "member-default-"+original.Name, "member-default-"+name))
	testenv.UpdateStatus(t, f.profiles, profile)
}

// heap watches how much memory a program has in use, in bytes.
type heap struct {
	stop func()
	done sync.WaitGroup
	most float64
	err  error
}

// watchHeap watches the program that config reaches, until most is called.
func watchHeap(ctx context.Context, config *rest.Config) *heap {
	ctx, cancel := context.WithCancel(ctx)
	h := &heap{stop: cancel}
	h.done.Go(func() {
		for ctx.Err() == nil {
			_, parsed, err := testenv.Metrics(ctx, config)
			if ctx.Err() == nil {
				// One that is lost among many says nothing. That of a program that has ended stays.
				h.err = err
			}
			for _, sample := range parsed["go_memstats_heap_inuse_bytes"] {
				h.most = max(h.most, float64(sample.Value))
			}
			select {
			case <-ctx.Done():
			case <-time.After(heapPoll):
			}
		}
	})
	return h
}

// mib ends watching, and returns the most that was in use, in MiB.
func (h *heap) mib() (float64, error) {
	h.stop()
	h.done.Wait()
	if h.most == 0 && h.err == nil {
		h.err = errors.New("the program says nothing of its memory")
	}
	return h.most / (1 << 20), h.err
}
