// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	clientv1alpha1 "clusterpass.dev/pkg/generated/clientset/versioned/typed/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// testPlacement has a set select what a Placement has chosen, which changes twice, and then
// everything again.
func (f *fleet) testPlacement(t *testing.T) {
	scores := f.hub.Clusterpass(t).ClusterpassV1alpha1().ClusterScores(namespace)
	score(t, scores, memberName, 10)
	score(t, scores, elsewhere, 90)
	kubectl(t, f.hub, "apply", "-f", placementExample(t, "own-score.yaml"))
	kubectl(t, f.hub, "patch", "placement", "green", "-n", namespace, "--type=merge", "-p", `{"spec":{"numberOfClusters":2}}`)
	f.patch(t, `{"spec":{"clusters":{"labelSelector":null,"decisionKey":"green"},"consumer":{"multiKueue":{"order":"Selection"}}}}`)
	testenv.Eventually(t, f.knows(t, elsewhere, memberName))
	score(t, scores, memberName, 95)
	testenv.Eventually(t, f.knows(t, memberName, elsewhere))
	kubectl(t, f.hub, "patch", "placement", "green", "-n", namespace, "--type=merge", "-p", `{"spec":{"numberOfClusters":1}}`)
	testenv.Eventually(t, f.knows(t, memberName))
	f.patch(t, `{"spec":{"clusters":{"labelSelector":{},"decisionKey":null}}}`)
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, "2 clusters"))
	kubectl(t, f.hub, "delete", "placement", "green", "-n", namespace)
}

// score says how green a cluster is, for an hour.
func score(t *testing.T, scores clientv1alpha1.ClusterScoreInterface, cluster string, value int32) {
	t.Helper()
	is, err := scores.Get(t.Context(), cluster+"-power", metav1.GetOptions{})
	if err != nil {
		is = testenv.Create(t, scores, &v1alpha1.ClusterScore{
			ObjectMeta: metav1.ObjectMeta{Name: cluster + "-power"},
			Spec:       v1alpha1.ClusterScoreSpec{ClusterProfileName: cluster, ResourceName: "power"},
		})
	}
	is.Status.Scores = []v1alpha1.ClusterScoreItem{{Name: "green", Value: ptr.To(value)}}
	is.Status.ValidUntil = ptr.To(metav1.NewTime(time.Now().Add(time.Hour)))
	testenv.UpdateStatus(t, scores, is)
}
