// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// TestRefusals_OfOneUser has an ordinary user ask again and again for what the documented Role does
// not give, as fast as it is refused.
func TestRefusals_OfOneUser(t *testing.T) {
	const user = "refused-often"
	kubeconfig := ordinaryUser(t, user)
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	require.NoError(t, err)
	client := testenv.Kube(t, config).Discovery().RESTClient()
	asked := request("bravelion", "refused-often", "cluster-admin")
	asked.SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("AuthTokenRequest"))
	body := testenv.Must[[]byte](t)(json.Marshal(asked))
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
		name, err := testenv.Kubectl(t.Context(), ordinaryUser(t, "not-refused"), manifest(topLevel[0], "bravelion", "not-refused", ""), "create",
			"-f", "-", "-o", "jsonpath={.status.grantName}")
		require.NoError(t, err)
		assert.NotEmpty(t, name)
	})
	t.Run("kubectl tries again, and says what is missing", func(t *testing.T) {
		admin := strings.Replace(manifest(topLevel[0], "bravelion", "refused-often", ""), "name: view", "name: cluster-admin", 1)
		_, err := testenv.Kubectl(t.Context(), kubeconfig, admin, "create", "-f", "-")
		require.ErrorContains(t, err, "lacks: bind:cluster-admin on")
	})
}
