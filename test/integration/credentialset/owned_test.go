// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// change changes a Secret as somebody else does.
func (f *fleet) change(t *testing.T, name string, change func(secret *corev1.Secret)) *corev1.Secret {
	t.Helper()
	var changed *corev1.Secret
	require.NoError(t, retry.RetryOnConflict(retry.DefaultBackoff, func() (err error) {
		secret := f.secret(t, name)
		change(secret)
		changed, err = f.admin.CoreV1().Secrets(consumers).Update(t.Context(), secret, metav1.UpdateOptions{FieldManager: "somebody-else"})
		return err
	}))
	return changed
}

// addOthers adds what is somebody else's to a Secret, and returns a function that says what of it
// is missing.
func (f *fleet) addOthers(t *testing.T, name string) (check func(secret *corev1.Secret) error) {
	t.Helper()
	owner := testenv.Create(t, f.admin.CoreV1().ConfigMaps(consumers), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}})
	const finalizer = "example.com/backup"
	f.change(t, name, func(secret *corev1.Secret) {
		secret.Labels["team"], secret.Annotations["note"], secret.Data["more"] = "a", "b", []byte("c")
		secret.Finalizers = append(secret.Finalizers, finalizer)
		secret.OwnerReferences = append(secret.OwnerReferences,
			metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID})
	})
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := f.admin.CoreV1().Secrets(consumers).Patch(ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`),
			metav1.PatchOptions{})
		assert.NoError(t, err)
	})
	return func(secret *corev1.Secret) error {
		if secret.Labels["team"] != "a" || secret.Annotations["note"] != "b" || string(secret.Data["more"]) != "c" ||
			len(secret.Finalizers) != 1 || len(secret.OwnerReferences) != 1 {
			return fmt.Errorf("something of somebody else is gone: %+v, and %d keys", secret.ObjectMeta, len(secret.Data))
		}
		return nil
	}
}

// relabel changes the labels that a set gives its Secrets.
func (f *fleet) relabel(t *testing.T, set, labels string) {
	t.Helper()
	testenv.Patch(t, f.setsOf(t, author), set, `{"spec":{"secret":{"labels":`+labels+`}}}`)
}

// withoutLabel waits until a Secret does not have a label.
func (f *fleet) withoutLabel(t *testing.T, name, label string) *corev1.Secret {
	t.Helper()
	var secret *corev1.Secret
	testenv.Eventually(t, func(context.Context) error {
		if secret = f.secret(t, name); secret.Labels[label] != "" {
			return errors.New("the label is there")
		}
		return nil
	})
	return secret
}

func (f *fleet) testOthers(t *testing.T) {
	set := newSet("others", "bravelion")
	set.Spec.Secret.Labels["extra"] = "yes"
	f.createReady(t, set)
	complete := f.addOthers(t, "others-bravelion")

	before := f.secret(t, "others-bravelion")
	f.rotate(t, "others", "1")
	rotated := f.changed(t, before)
	require.NoError(t, complete(rotated))

	f.relabel(t, "others", `{"extra":null}`)
	relabelled := f.withoutLabel(t, "others-bravelion", "extra")
	require.NoError(t, complete(relabelled))
	assert.Equal(t, "others", relabelled.Labels["for"])
	assert.Equal(t, rotated.Data["kubeconfig"], relabelled.Data["kubeconfig"], "a label takes no other token")
}

// testUpgrade has a Secret as a release has left it that did not note which keys are its own.
func (f *fleet) testUpgrade(t *testing.T) {
	set := newSet("upgraded", "bravelion")
	set.Spec.Secret.Labels["extra"] = "yes"
	f.createReady(t, set)
	f.manager.Stop()
	f.change(t, "upgraded-bravelion", func(secret *corev1.Secret) {
		for _, key := range []string{"rights", "keys", "token", "checksum"} {
			delete(secret.Annotations, "clusterpass.dev/credential-"+key)
		}
	})
	complete := f.addOthers(t, "upgraded-bravelion")
	before := f.secret(t, "upgraded-bravelion")
	require.NoError(t, f.manager.Restart(t.Context()))
	f.createReady(t, newSet("after-upgrade", "bravelion"))
	assert.Equal(t, before.ResourceVersion, f.secret(t, before.Name).ResourceVersion, "an upgrade writes nothing")

	f.rotate(t, "upgraded", "1")
	require.NoError(t, complete(f.changed(t, before)))
	f.relabel(t, "upgraded", `{"extra":null}`)
	require.NoError(t, complete(f.withoutLabel(t, before.Name, "extra")))
}

// bearerToken returns the token in the Secret of a cluster for Argo CD.
func bearerToken(t *testing.T, secret *corev1.Secret) string {
	t.Helper()
	var config struct {
		BearerToken string `json:"bearerToken"`
	}
	if json.Unmarshal(secret.Data["config"], &config) != nil {
		return ""
	}
	return config.BearerToken
}

// managerLog returns what the controller manager has logged.
func (f *fleet) managerLog(t *testing.T) string {
	t.Helper()
	return string(testenv.Must[[]byte](t)(os.ReadFile(f.manager.Log())))
}

// written returns what the controller manager says of its writes of a Secret with a result, a line
// for each. A write whose answer was lost has none.
func (f *fleet) written(t *testing.T, name, result string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(f.managerLog(t)) {
		if strings.Contains(line, "Wrote a credential") && strings.Contains(line, `result="`+result+`"`) &&
			strings.Contains(line, `secret="`+consumers+"/"+name+`"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (f *fleet) testTampering(t *testing.T) {
	const name, times = "argo-bravelion", 10
	set := newSet("argo", "bravelion")
	set.Spec.Secret.Format = v1alpha1.SecretFormatArgoCD
	set.Spec.Secret.ArgoCD = &v1alpha1.ArgoCDCluster{Namespaces: []string{"a", "b"}, ClusterResources: ptr.To(true), Shard: ptr.To(int32(1))}
	f.createReady(t, set)
	made := f.secret(t, name)
	for key, want := range map[string]string{"name": "bravelion", "namespaces": "a,b", "clusterResources": "true", "shard": "1"} {
		assert.Equal(t, want, string(made.Data[key]), key)
	}
	token := bearerToken(t, made)
	require.NotEmpty(t, token)
	// A key that the set does not say is anybody's. Each repair after it shows that it stays.
	f.change(t, name, func(secret *corev1.Secret) { secret.Data["project"] = []byte("infra") })
	for i := range times {
		f.change(t, name, func(secret *corev1.Secret) {
			delete(secret.Labels, "argocd.argoproj.io/secret-type")
			secret.Data["server"], secret.Data["shard"] = fmt.Appendf(nil, "https://other-%d", i), nil
			secret.Annotations["clusterpass.dev/credential-expires-at"] = "2000-01-01T00:00:00Z"
		})
		testenv.Eventually(t, func(context.Context) error {
			now := f.secret(t, name)
			if string(now.Data["server"]) != f.bravelion.Server() || string(now.Data["shard"]) != "1" ||
				now.Labels["argocd.argoproj.io/secret-type"] != "cluster" {
				return errors.New("it is not repaired")
			}
			return nil
		})
	}
	repaired := f.secret(t, name)
	assert.Equal(t, token, bearerToken(t, repaired))
	assert.Equal(t, "infra", string(repaired.Data["project"]))
	assert.Equal(t, made.Annotations, repaired.Annotations)
	assert.LessOrEqual(t, len(f.written(t, name, "Issued")), 1, "a token was minted")
	assert.LessOrEqual(t, len(f.written(t, name, "Repaired")), times, "more than one write mended it: %s", f.written(t, name, "Repaired"))

	f.change(t, name, func(secret *corev1.Secret) { secret.Data["config"] = []byte("{}") })
	testenv.Eventually(t, func(context.Context) error {
		if now := bearerToken(t, f.secret(t, name)); now == "" || now == token {
			return errors.New("there is no new token")
		}
		return nil
	})
	assert.Equal(t, "infra", string(f.secret(t, name).Data["project"]))
}

// conflict waits until the condition Conflict of a set has a reason, empty for no condition, and
// returns its message.
func (f *fleet) conflict(t *testing.T, name, reason string) string {
	t.Helper()
	message := ""
	testenv.Await(t, f.ours(t), name, func(set *v1alpha1.ClusterCredentialSet) error {
		is := ptr.Deref(meta.FindStatusCondition(set.Status.Conditions, v1alpha1.CredentialSetConflict), metav1.Condition{})
		if is.Reason != reason {
			return fmt.Errorf("set %s has %+v, want reason %q", name, is, reason)
		}
		message = is.Message
		return nil
	})
	return message
}

func (f *fleet) testConflict(t *testing.T) {
	argo := func(name string) *v1alpha1.ClusterCredentialSet {
		set := newSet(name, "bravelion")
		set.Spec.Secret.Format = v1alpha1.SecretFormatArgoCD
		return f.createReady(t, set)
	}
	argo("argo-a")
	f.conflict(t, "argo-a", "")
	argo("argo-b")
	for _, name := range []string{"argo-a", "argo-b"} {
		message := f.conflict(t, name, v1alpha1.CredentialSetReasonSameServer)
		for _, part := range []string{"argo-a-bravelion (ClusterCredentialSet team/argo-a, ClusterProfile default/bravelion)",
			"argo-b-bravelion (", f.bravelion.Server(), "Select the cluster in one set only"} {
			assert.Contains(t, message, part)
		}
	}
	f.remove(t, "argo-b")
	f.conflict(t, "argo-a", "")

	// Another cluster of that name in another namespace.
	require.NoError(t, testenv.Join(t.Context(), f.hub, f.smartfish, "other", "bravelion"))
	other := newSet("argo-other")
	other.Spec.Clusters = v1alpha1.ClusterSelection{Namespace: "other", Names: []string{"bravelion"}}
	other.Spec.Secret.Format = v1alpha1.SecretFormatArgoCD
	f.createReady(t, other)
	message := f.conflict(t, "argo-a", v1alpha1.CredentialSetReasonSameName)
	assert.Contains(t, message, "spec.secret.argoCD.name such as {{.cluster.namespace}}-{{.cluster.name}}")
	assert.Contains(t, message, "a Secret of another ClusterCredentialSet")
	assert.NotContains(t, message, "argo-other-bravelion")
	assert.NotContains(t, message, "other/bravelion", "readers of this set may not know the ClusterProfiles of that namespace")
	testenv.Patch(t, f.setsOf(t, author), "argo-other", `{"spec":{"secret":{"argoCD":{"name":"{{.cluster.namespace}}-{{.cluster.name}}"}}}}`)
	f.conflict(t, "argo-a", "")
	f.conflict(t, "argo-other", "")
	assert.Equal(t, "other-bravelion", string(f.secret(t, "argo-other-bravelion").Data["name"]))
}
