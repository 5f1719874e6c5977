// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/kubelet"
	"clusterpass.dev/test/testenv"
)

// A replaced cluster takes over.
func TestMultiKueue_ReplacedCluster(t *testing.T) {
	// After this long Kueue takes the Jobs of a worker that it can't reach for lost; 15 minutes by
	// default.
	const lost = 5 * time.Second
	f := startWithSet(t, func(configuration map[string]any) {
		configuration["multiKueue"].(map[string]any)["workerLostTimeout"] = lost.String()
	}, memberName)
	first := f.profileUID(t, memberName)

	// By another cluster under its name, then by one under its labels.
	f.testReplacement(t, memberName)
	assert.NotEqual(t, first, f.profileUID(t, memberName))
	f.testReplacement(t, "smartfish")
	require.NoError(t, f.knows(t, "smartfish")(t.Context()))
}

// testReplacement has the member die with a Job on it and another one join under a name, and waits
// until that has run the Job. All that a person does is to delete the ClusterProfile and to join
// the new cluster.
func (f *fleet) testReplacement(t *testing.T, name string) {
	t.Helper()
	old := f.members[0]
	job := f.submitLong(t)
	testenv.Eventually(t, func(ctx context.Context) error { return old.runs(ctx, t, job) })
	secret := old.Name()

	died := time.Now()
	old.kueue.Stop()
	old.Stop()
	kubectl(t, f.hub, "delete", "clusterprofile", old.Name(), "-n", namespace)
	f.members[0] = f.startMember(t, namespace, name)
	joined := time.Now()
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "1 clusters"))
	t.Logf("Kueue is connected to the new cluster %s after it has joined", time.Since(joined).Round(time.Millisecond))
	testenv.Eventually(t, func(ctx context.Context) error { return f.members[0].runs(ctx, t, job) })
	t.Logf("the Job of the lost cluster runs on the new one %s after the loss, %s after the new one has joined",
		time.Since(died).Round(time.Millisecond), time.Since(joined).Round(time.Millisecond))
	kubectl(t, f.members[0].Cluster, "annotate", "job", job, "-n", namespace, "--overwrite", kubelet.RunForAnnotation+"=0s")
	testenv.Eventually(t, f.complete(t, job))
	testenv.Eventually(t, f.complete(t, f.submit(t)))
	if name != secret {
		_, err := f.hub.Kube(t).CoreV1().Secrets(testenv.KueueNamespace).Get(t.Context(), setName+"-"+secret, metav1.GetOptions{})
		require.Error(t, err, "the Secret for the lost cluster is gone")
	}
}

func (f *fleet) profileUID(t *testing.T, name string) types.UID {
	t.Helper()
	return testenv.Get(t, f.hub.Inventory(t).ApisV1alpha1().ClusterProfiles(namespace), name).UID
}

// submitLong creates a Job on the hub that runs until it is deleted, and returns its name.
func (f *fleet) submitLong(t *testing.T) string {
	t.Helper()
	job := f.exampleJob(t)
	job.Annotations = map[string]string{kubelet.RunForAnnotation: "1h"}
	return testenv.Create(t, f.hub.Kube(t).BatchV1().Jobs(namespace), job).Name
}

// runs returns nil when a Job runs on the member.
func (m *member) runs(ctx context.Context, t *testing.T, name string) error {
	t.Helper()
	job, err := m.Cluster.Kube(t).BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("on %s: %w", m.Name(), err)
	}
	if job.Status.Active == 0 {
		return errors.New("no pod of the Job is active")
	}
	return nil
}
