// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
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
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
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

// hubSecrets returns a client for the Secrets of members.
func hubSecrets(t *testing.T) coreclient.SecretInterface {
	t.Helper()
	return shared.Hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace)
}

// createSecret and joinByIt make the two things that a working cluster of that name has, and
// updateSecret makes the first one work that is there.
func createSecret(t *testing.T, name string) {
	t.Helper()
	testenv.Create(t, hubSecrets(t), workingSecret(t, name))
}

func joinByIt(t *testing.T, name string) {
	t.Helper()
	join(t, name, name)
}

func updateSecret(t *testing.T, name string) {
	t.Helper()
	testenv.Update(t, hubSecrets(t), workingSecret(t, name))
}

// nameSecret has the status of the profile name its Secret.
func nameSecret(t *testing.T, name string) {
	t.Helper()
	patchAccess(t, name, fmt.Sprintf(`[{"name":"kubeconfig-secretreader","cluster":{"server":"https://attacker.example.com","extensions":[
		{"name":"client.authentication.k8s.io/exec","extension":{"name":%q,"key":"kubeconfig","namespace":%q}}]}}]`,
		name, testenv.SystemNamespace))
}

func patchAccess(t *testing.T, cluster, accessProviders string) {
	t.Helper()
	testenv.Patch(t, hubProfiles(t), cluster, `{"status":{"accessProviders":`+accessProviders+`}}`, "status")
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
			createSecret(t, name)
			joinByIt(t, name)
		}},
		"the profile is new": {createSecret, "not found", joinByIt},
		"the Secret is new":  {joinByIt, "there is no Secret", createSecret},
		"the Secret is labelled now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()
				secret := workingSecret(t, name)
				secret.Labels = nil
				testenv.Create(t, hubSecrets(t), secret)
				joinByIt(t, name)
			},
			words: "there is no Secret", mend: updateSecret,
		},
		"the Secret is annotated now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()
				secret := workingSecret(t, name)
				secret.Annotations[member.ClusterProfileAnnotation] = "default/bravelion"
				testenv.Create(t, hubSecrets(t), secret)
				joinByIt(t, name)
			},
			words: "is not for this cluster", mend: updateSecret,
		},
		"the Secret has another credential now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()
				good := clientcmdapi.Cluster{Server: shared.Smartfish.Server(), CertificateAuthorityData: shared.Smartfish.CA()}
				testenv.Create(t, hubSecrets(t), secretFor(t, name, good, clientcmdapi.AuthInfo{Token: "has-ended"}))
				joinByIt(t, name)
			},
			words: "does not accept clusterpass's own credential", mend: updateSecret,
		},
		"the status names the Secret now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()
				createSecret(t, name)
				join(t, name, "another")
			},
			words: "there is no Secret", mend: nameSecret,
		},
		"the status has an access provider now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()
				joinByIt(t, name)
				patchAccess(t, name, "null")
			},
			words: "status.accessProviders has none", mend: func(t *testing.T, name string) {
				t.Helper()
				createSecret(t, name)
				nameSecret(t, name)
			},
		},
		"a Secret names the profile now": {
			prepare: func(t *testing.T, name string) {
				t.Helper()
				joinByIt(t, name)
				patchAccess(t, name, "null")
			},
			words: "status.accessProviders has none", mend: createSecret,
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
	createSecret(t, cluster)
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
	t.Logf("%d refused requests in %s: %d reads of the Secret, %d of the profile",
		callers*rounds, took, now.secrets-before.secrets, now.profiles-before.profiles)
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
	_ = shared.Hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace).Delete(ctx, cluster, metav1.DeleteOptions{})
}

// reads are what the server has read so far: a Secret from the hub, and ClusterProfiles from its
// etcd.
type reads struct{ secrets, profiles int }

func readsSoFar(t *testing.T, secret string) (all reads) {
	t.Helper()
	shared.Hub.EachAuditEvent(t, func(event *auditv1.Event) {
		if event.Stage == auditv1.StageResponseComplete && event.Verb == "get" &&
			event.ObjectRef != nil && event.ObjectRef.Resource == "secrets" && event.ObjectRef.Name == secret {
			all.secrets++
		}
	})
	for _, sample := range testenv.Scrape(t, shared.Server)["etcd_requests_total"] {
		if sample.Metric["operation"] == "get" && strings.HasPrefix(string(sample.Metric["resource"]), "clusterprofiles") {
			all.profiles += int(sample.Value)
		}
	}
	return all
}
