// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/test/testenv"
)

// entitle gives user what the README's Role gives, in a namespace, and waits until it has that.
func (f *fleet) entitle(t *testing.T, namespace string) {
	t.Helper()
	f.applyExample(t, namespace, "rbac", "bravelion-viewer.yaml")
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := testenv.Kubectl(ctx, f.asUser, "", "auth", "can-i", "-n", namespace,
			"in:default", "clusterprofiles.multicluster.x-k8s.io/"+bravelion)
		return err
	})
}

// request is artifacts/examples/authtokenrequest.yaml for a namespace, with a ServiceAccount on the
// member: in External mode its kind is found in clusterpass.dev alone.
func (f *fleet) request(t *testing.T, namespace, account string) string {
	t.Helper()
	request := strings.ReplaceAll(f.example(t, namespace, "authtokenrequest.yaml"), "serviceAccountName: work", "serviceAccountName: "+account)
	if f.mode == hub.InventoryExternal {
		request = strings.ReplaceAll(request, "multicluster.x-k8s.io/", "clusterpass.dev/")
	}
	return request
}

// create has user create an AuthTokenRequest with kubectl, and returns the token.
func (f *fleet) create(ctx context.Context, t *testing.T, namespace, account string) (string, error) {
	t.Helper()
	return testenv.Kubectl(ctx, f.asUser, f.request(t, namespace, account), "create", "-o", "jsonpath={.status.token}", "-f", "-")
}

// expectToken waits until user gets a token, which the member takes for the ServiceAccount that was
// asked for, and returns it.
func (f *fleet) expectToken(t *testing.T, namespace, account string) string {
	t.Helper()
	var token string
	testenv.Eventually(t, func(ctx context.Context) (err error) {
		token, err = f.create(ctx, t, namespace, account)
		return err
	})
	require.NoError(t, f.use(t.Context(), t, token, "system:serviceaccount:default:"+account))
	return token
}

// use returns nil where the member takes a token for a user, who may look around there and no more.
func (f *fleet) use(ctx context.Context, t *testing.T, token, user string) error {
	t.Helper()
	config := rest.AnonymousClientConfig(f.member.RESTConfig())
	config.BearerToken = token
	client := testenv.Kube(t, config)
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, mayList := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	_, mayRead := client.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
	if review.Status.UserInfo.Username != user || mayList != nil || !apierrors.IsForbidden(mayRead) {
		return fmt.Errorf("it is %s; pods: %w; secrets: %w", review.Status.UserInfo.Username, mayList, mayRead)
	}
	return nil
}

// expectUnauthorized waits until the member does not know a token any more.
func (f *fleet) expectUnauthorized(t *testing.T, token string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		if err := f.use(ctx, t, token, ""); !apierrors.IsUnauthorized(err) {
			return errors.Join(errors.New("the token still works"), err)
		}
		return nil
	})
}
