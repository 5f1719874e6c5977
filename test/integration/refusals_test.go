// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// TestRefusals_OfOneUser has an ordinary user ask again and again for what the documented Role does not give, as fast as it is refused.
func TestRefusals_OfOneUser(t *testing.T) {
	const user = "refused-often"
	prioritizeServer(t)
	kubeconfig := ordinaryUser(t, user)
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	require.NoError(t, err)
	client := kube(t, config).Discovery().RESTClient()
	asked := request("bravelion", "refused-often", "cluster-admin")
	asked.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("AuthTokenRequest"))
	body, err := json.Marshal(asked)
	require.NoError(t, err)
	post := func(ctx context.Context, dryRun bool) (code, retryAfter int32) {
		r := client.Post().AbsPath("/apis/multicluster.x-k8s.io/v1alpha1/namespaces/default/authtokenrequests").MaxRetries(0).
			SetHeader("Content-Type", "application/json").Body(body)
		if dryRun {
			r.Param("dryRun", metav1.DryRunAll)
		}
		var status metav1.Status
		if raw, err := r.Do(ctx).Raw(); err != nil && json.Unmarshal(raw, &status) == nil && status.Details != nil {
			retryAfter = status.Details.RetryAfterSeconds
		}
		return status.Code, retryAfter
	}

	var mu sync.Mutex
	codes := map[int32]int{}
	var last int32
	// Under load they may come too slowly for the bound.
	testenv.Eventually(t, func(ctx context.Context) error {
		var clients sync.WaitGroup
		for i := range 100 {
			clients.Go(func() {
				code, after := post(ctx, i%2 == 0)
				mu.Lock()
				defer mu.Unlock()
				codes[code]++
				if code == http.StatusTooManyRequests {
					last = after
				}
			})
		}
		clients.Wait()
		if codes[http.StatusTooManyRequests] == 0 {
			return errors.New("none of 100 requests at once was answered with 429")
		}
		return nil
	})
	t.Logf("answers: %v", codes)
	assert.EqualValues(t, 1, last, "seconds after which to try again")
	assert.Positive(t, codes[http.StatusForbidden])
	assert.Len(t, codes, 2, "nothing but 403 and 429")
	expectNothingGranted(t, "refused-often")

	t.Run("another user has a token meanwhile", func(t *testing.T) {
		name, err := kubectl(t, ordinaryUser(t, "not-refused"), manifest(topLevel[0], "bravelion", "not-refused", ""), "create", "-f", "-", "-o", "jsonpath={.status.grantName}")
		require.NoError(t, err)
		assert.NotEmpty(t, name)
	})
	t.Run("kubectl tries again, and says what is missing", func(t *testing.T) {
		admin := strings.Replace(manifest(topLevel[0], "bravelion", "refused-often", ""), "name: view", "name: cluster-admin", 1)
		_, err := kubectl(t, kubeconfig, admin, "create", "-f", "-")
		require.ErrorContains(t, err, "lacks: bind:cluster-admin on")
	})
}

// prioritizeServer has the hub serve the server's reviews by a level of their own until the test ends, as artifacts/deploy/base/flowcontrol.yaml does.
// The server is an ordinary user of this hub: a hundred requests that wait for reviews would hold all seats that the reviews wait for.
func prioritizeServer(t *testing.T) {
	t.Helper()
	schemas := kube(t, shared.Hub.RESTConfig()).FlowcontrolV1().FlowSchemas()
	server := flowcontrolv1.Subject{Kind: flowcontrolv1.SubjectKindServiceAccount, ServiceAccount: &flowcontrolv1.ServiceAccountSubject{
		Namespace: testenv.SystemNamespace, Name: "clusterpass-apiserver",
	}}
	schema, err := schemas.Create(t.Context(), &flowcontrolv1.FlowSchema{
		ObjectMeta: metav1.ObjectMeta{Name: "clusterpass-apiserver"},
		Spec: flowcontrolv1.FlowSchemaSpec{
			PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: "workload-high"}, MatchingPrecedence: 1900,
			Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
				Subjects:      []flowcontrolv1.Subject{server},
				ResourceRules: []flowcontrolv1.ResourcePolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}, ClusterScope: true, Namespaces: []string{"*"}}},
			}},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, schemas.Delete(context.WithoutCancel(t.Context()), schema.Name, metav1.DeleteOptions{}))
	})
	// kube-apiserver says so when it goes by the schema.
	testenv.Eventually(t, func(ctx context.Context) error {
		is, err := schemas.Get(ctx, schema.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range is.Status.Conditions {
			if condition.Type == flowcontrolv1.FlowSchemaConditionDangling && condition.Status == flowcontrolv1.ConditionFalse {
				return nil
			}
		}
		return fmt.Errorf("the hub does not go by FlowSchema %s yet: %v", schema.Name, is.Status.Conditions)
	})
}
