// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/component-base/metrics/testutil"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/sharedread"
	"clusterpass.dev/test/testenv"
)

// freshRounds is how often each change is followed by a request at once.
const freshRounds = 5

// workingSecret returns a Secret with a kubeconfig that works, for the ClusterProfile default/name.
func workingSecret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	cluster := shared.Smartfish
	admin := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(cluster.Kubeconfig()))
	user := admin.AuthInfos[admin.Contexts[admin.CurrentContext].AuthInfo]
	return secretFor(t, name, clientcmdapi.Cluster{Server: cluster.Server(), CertificateAuthorityData: cluster.CA()}, *user)
}

func hubProfiles(t *testing.T) inventoryclient.ClusterProfileInterface {
	t.Helper()
	return shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
}

func hubSecrets(t *testing.T) secretWriter {
	t.Helper()
	return secretWriter{t, kube(t, shared.Hub.RESTConfig())}
}

// secretWriter writes Secrets where those of members are.
type secretWriter struct {
	t   *testing.T
	hub kubernetes.Interface
}

func (w secretWriter) create(secret *corev1.Secret) {
	w.t.Helper()
	testenv.Must[*corev1.Secret](w.t)(w.hub.CoreV1().Secrets(testenv.SystemNamespace).Create(w.t.Context(), secret, metav1.CreateOptions{}))
}

func (w secretWriter) update(secret *corev1.Secret) {
	w.t.Helper()
	testenv.Must[*corev1.Secret](w.t)(w.hub.CoreV1().Secrets(testenv.SystemNamespace).Update(w.t.Context(), secret, metav1.UpdateOptions{}))
}

// accessBy is a status.accessProviders that names a Secret.
func accessBy(secret string) string {
	return fmt.Sprintf(`[{"name":"kubeconfig-secretreader","cluster":{"server":"https://attacker.example.com","extensions":[
		{"name":"client.authentication.k8s.io/exec","extension":{"name":%q,"key":"kubeconfig","namespace":%q}}]}}]`, secret, testenv.SystemNamespace)
}

func patchAccess(t *testing.T, cluster, accessProviders string) {
	t.Helper()
	patch := `{"status":{"accessProviders":` + accessProviders + `}}`
	testenv.Patch(t, hubProfiles(t), cluster, patch, "status")
}

// What was written a moment ago counts, whatever the caches of the server have: nothing here waits.
func TestRefusal_StaleCache(t *testing.T) {
	tests := map[string]struct {
		// prepare leaves a cluster that is refused, with these words; none: it does not exist.
		prepare func(t *testing.T, name string)
		words   string
		mend    func(t *testing.T, name string)
	}{
		"all of it is new": {mend: func(t *testing.T, name string) {
			t.Helper()

			hubSecrets(t).create(workingSecret(t, name))
			join(t, name, name)
		}},
		"the profile is new": {
			prepare: func(t *testing.T, name string) {
				t.Helper()
				hubSecrets(t).create(workingSecret(t, name))
			},
			words: "not found",
			mend: func(t *testing.T, name string) {
				t.Helper()
				join(t, name, name)
			},
		},
		"the Secret is new": {
			prepare: func(t *testing.T, name string) {
				t.Helper()
				join(t, name, name)
			},
			words: "there is no Secret",
			mend: func(t *testing.T, name string) {
				t.Helper()
				hubSecrets(t).create(workingSecret(t, name))
			},
		},
		"the Secret is labelled now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()

				secret := workingSecret(t, name)
				secret.Labels = nil
				hubSecrets(t).create(secret)
				join(t, name, name)
			},
			words: "there is no Secret",
			mend: func(t *testing.T, name string) {
				t.Helper()
				hubSecrets(t).update(workingSecret(t, name))
			},
		},
		"the Secret is annotated now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()

				secret := workingSecret(t, name)
				secret.Annotations[member.ClusterProfileAnnotation] = "default/bravelion"
				hubSecrets(t).create(secret)
				join(t, name, name)
			},
			words: "is not for this cluster",
			mend: func(t *testing.T, name string) {
				t.Helper()
				hubSecrets(t).update(workingSecret(t, name))
			},
		},
		"the Secret has another credential now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()

				good := clientcmdapi.Cluster{Server: shared.Smartfish.Server(), CertificateAuthorityData: shared.Smartfish.CA()}
				hubSecrets(t).create(secretFor(t, name, good, clientcmdapi.AuthInfo{Token: "has-ended"}))
				join(t, name, name)
			},
			words: "does not accept clusterpass's own credential",
			mend: func(t *testing.T, name string) {
				t.Helper()
				hubSecrets(t).update(workingSecret(t, name))
			},
		},
		"the status names the Secret now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()

				hubSecrets(t).create(workingSecret(t, name))
				join(t, name, "another")
			},
			words: "there is no Secret",
			mend: func(t *testing.T, name string) {
				t.Helper()
				patchAccess(t, name, accessBy(name))
			},
		},
		"the status has an access provider now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()

				hubSecrets(t).create(workingSecret(t, name))
				join(t, name, name)
				patchAccess(t, name, "null")
			},
			words: "status.accessProviders has none",
			mend: func(t *testing.T, name string) {
				t.Helper()
				patchAccess(t, name, accessBy(name))
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for round := range freshRounds {
				cluster := fmt.Sprintf("fresh-%s-%d", strings.ToLower(strings.ReplaceAll(name, " ", "-")), round)
				t.Cleanup(func() { leave(t, cluster) })
				if test.prepare != nil {
					test.prepare(t, cluster)
					require.ErrorContains(t, askAs(t, shared.Hub.RESTConfig(), cluster), test.words, "round %d", round)
				}
				test.mend(t, cluster)
				require.NoError(t, askAs(t, shared.Hub.RESTConfig(), cluster), "round %d: refused by what was so before", round)
			}
		})
	}
}

// A reference to the UID of the profile that was replaced a moment ago is refused, and one to its
// successor is not.
func TestRefusal_UID(t *testing.T) {
	const cluster = "fresh-uid"
	hubSecrets(t).create(workingSecret(t, cluster))
	t.Cleanup(func() { leave(t, cluster) })
	var last types.UID
	for round := range freshRounds {
		join(t, cluster, cluster)
		uid := testenv.Get(t, hubProfiles(t), cluster).UID
		r := request(cluster, fmt.Sprintf("fresh-uid-%d", round), "view")
		r.Spec.TargetClusterProfile.UID = uid
		_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], r, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		require.NoError(t, err, "round %d", round)
		r.Spec.TargetClusterProfile.UID = last
		_, _, err = ask(t.Context(), shared.Hub.RESTConfig(), forms[0], r, metav1.CreateOptions{})
		require.True(t, last == "" || apierrors.IsConflict(err), "round %d: %v for the UID of another", round, err)
		last = uid
		require.NoError(t, hubProfiles(t).Delete(t.Context(), cluster, metav1.DeleteOptions{}))
	}
}

// Whoever is refused, however often, has the hub read each object about once a second; who is not
// entitled has it read nothing.
func TestRefusal_Reads(t *testing.T) {
	const cluster, callers, rounds = "flooded", 25, 24
	join(t, cluster, cluster)
	t.Cleanup(func() { leave(t, cluster) })
	nobody := grantTo(t, "flooding", mayRequest())
	nobody.QPS = -1
	before := readsSoFar(t, cluster)
	for range 20 {
		err := askAs(t, nobody, cluster)
		require.True(t, apierrors.IsForbidden(err), "%v", err)
	}
	assert.Equal(t, before, readsSoFar(t, cluster), "who is not entitled had the hub read")

	admin := rest.CopyConfig(shared.Hub.RESTConfig())
	admin.QPS = -1
	begin := time.Now()
	var flood sync.WaitGroup
	errs := make(chan error, callers*rounds)
	for range callers {
		flood.Go(func() {
			for range rounds {
				errs <- askAs(t, admin, cluster)
			}
		})
	}
	flood.Wait()
	close(errs)
	took := time.Since(begin)
	for err := range errs {
		var status apierrors.APIStatus
		require.ErrorAs(t, err, &status)
		require.EqualValues(t, http.StatusServiceUnavailable, status.Status().Code, "%v", err)
		require.ErrorContains(t, err, "there is no Secret")
	}
	now := readsSoFar(t, cluster)
	most := int(took/sharedread.Interval) + 1
	t.Logf("%d refused requests in %s: %d reads of the Secret, %d of the profile", callers*rounds, took, now.secrets-before.secrets, now.profiles-before.profiles)
	assert.LessOrEqual(t, now.secrets-before.secrets, most, "reads of the Secret in %s", took)
	assert.NotEqual(t, before.secrets, now.secrets, "reads of the Secret in %s", took)
	assert.LessOrEqual(t, now.profiles-before.profiles, most, "reads of the ClusterProfile in %s", took)
	assert.NotEqual(t, before.profiles, now.profiles, "reads of the ClusterProfile in %s", took)

	// What works costs none of it.
	mintFor(t, admin, request("smartfish", "flooded", "view"))
	before = readsSoFar(t, "smartfish")
	for range 20 {
		mintFor(t, admin, request("smartfish", "flooded", "view"))
	}
	assert.Equal(t, before, readsSoFar(t, "smartfish"), "warm requests had the hub read")
}

// askAs asks for a token for cluster and returns the error.
func askAs(t *testing.T, config *rest.Config, cluster string) error {
	t.Helper()
	_, _, err := ask(t.Context(), config, forms[0], request(cluster, cluster, "view"), metav1.CreateOptions{})
	return err
}

// leave takes a cluster that a test has made off the hub.
func leave(t *testing.T, cluster string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), testenv.WaitTimeout)
	defer cancel()
	_ = hubProfiles(t).Delete(ctx, cluster, metav1.DeleteOptions{})
	_ = kube(t, shared.Hub.RESTConfig()).CoreV1().Secrets(testenv.SystemNamespace).Delete(ctx, cluster, metav1.DeleteOptions{})
}

// reads are what the server has read so far: a Secret from the hub, and ClusterProfiles from its
// etcd.
type reads struct{ secrets, profiles int }

func readsSoFar(t *testing.T, secret string) (all reads) {
	t.Helper()
	log := testenv.Must[*os.File](t)(os.Open(shared.Hub.AuditLog()))
	defer func() { _ = log.Close() }()
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var event auditv1.Event
		if json.Unmarshal(lines.Bytes(), &event) == nil && event.Stage == auditv1.StageResponseComplete && event.Verb == "get" &&
			event.ObjectRef != nil && event.ObjectRef.Resource == "secrets" && event.ObjectRef.Name == secret {
			all.secrets++
		}
	}
	config := testenv.Must[*rest.Config](t)(shared.Server.DirectConfig("prometheus", "system:masters"))
	text := testenv.Must[[]byte](t)(kube(t, config).CoreV1().RESTClient().Get().AbsPath("/metrics").SetHeader("Accept", "text/plain").DoRaw(t.Context()))
	metrics := testutil.NewMetrics()
	require.NoError(t, testutil.ParseMetrics(string(text), &metrics))
	for _, sample := range metrics["etcd_requests_total"] {
		if sample.Metric["operation"] == "get" && strings.HasPrefix(string(sample.Metric["resource"]), "clusterprofiles") {
			all.profiles += int(sample.Value)
		}
	}
	return all
}
