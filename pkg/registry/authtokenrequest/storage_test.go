// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokenrequest

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/mint"
)

type tokenRequest = v1alpha1.AuthTokenRequest

// recorder is a Minter that answers everything with a token and remembers what it was asked.
type recorder struct {
	asked []mint.Request
}

func (*recorder) Validate(r *tokenRequest) field.ErrorList {
	if r.Spec.ServiceAccountName == "" {
		return field.ErrorList{field.Required(field.NewPath("spec", "serviceAccountName"), "")}
	}
	return nil
}

func (m *recorder) Mint(_ context.Context, r mint.Request) (*mint.Result, error) {
	m.asked = append(m.asked, r)
	return &mint.Result{Status: v1alpha1.AuthTokenRequestStatus{Token: "minted"}}, nil
}

func requestContext(t *testing.T) context.Context {
	t.Helper()
	ctx := genericapirequest.WithNamespace(t.Context(), "default")
	return genericapirequest.WithUser(ctx, &user.DefaultInfo{Name: "jane"})
}

func newRequest() *tokenRequest {
	return &v1alpha1.AuthTokenRequest{Spec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile: v1alpha1.ClusterProfileReference{Name: "bravelion"},
		ServiceAccountName:   "work",
	}}
}

func admitAll(context.Context, runtime.Object) error { return nil }

// What a client sends and may not does not get through.
func TestREST_Create(t *testing.T) {
	minter := &recorder{}
	top, _ := NewREST(minter)
	request := newRequest()
	request.GenerateName = "work-"
	request.Status = v1alpha1.AuthTokenRequestStatus{Token: "from the client", GrantName: "from the client"}
	request.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	seen := ""
	obj, err := top.Create(requestContext(t), request, func(_ context.Context, obj runtime.Object) error {
		if r, ok := obj.(*tokenRequest); ok {
			seen = r.Status.Token
			r.Spec.ServiceAccountName = "changed by validation"
		}
		return nil
	}, &metav1.CreateOptions{})
	require.NoError(t, err)
	answer := obj.(*tokenRequest)
	assert.Empty(t, seen, "a status from the client got through")
	assert.Empty(t, answer.Status.GrantName)
	assert.Equal(t, "minted", answer.Status.Token)
	assert.Empty(t, answer.ManagedFields)
	assert.Regexp(t, "^work-", answer.Name)
	assert.Equal(t, "default", answer.Namespace)
	asked := minter.asked[0]
	assert.Equal(t, "work", asked.Spec.ServiceAccountName)
	assert.Equal(t, "default", asked.Spec.TargetClusterProfile.Namespace)
	assert.Equal(t, "jane", asked.User.GetName())
	assert.False(t, asked.DryRun)
}

// Nothing is minted for what is refused.
func TestREST_CreateRefused(t *testing.T) {
	denied := errors.New("denied by a policy")
	asItIs := func(*tokenRequest) {}
	tests := map[string]struct {
		// noUser says that the request has no user, and admission what admission says of it.
		noUser    bool
		admission error
		change    func(r *tokenRequest)
		is        func(error) bool
	}{
		"invalid":        {change: func(r *tokenRequest) { r.Spec.ServiceAccountName = "" }, is: apierrors.IsInvalid},
		"not admitted":   {change: asItIs, admission: denied, is: func(err error) bool { return errors.Is(err, denied) }},
		"without a user": {change: asItIs, noUser: true, is: apierrors.IsUnauthorized},
		"for another cluster than the URL's": {
			change: func(r *tokenRequest) { r.Spec.TargetClusterProfile.Name = "smartfish" }, is: apierrors.IsInvalid,
		},
		"for another namespace than the URL's": {
			change: func(r *tokenRequest) { r.Spec.TargetClusterProfile.Namespace = "other" }, is: apierrors.IsInvalid,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			minter := &recorder{}
			_, sub := NewREST(minter)
			request := newRequest()
			test.change(request)
			ctx := requestContext(t)
			if test.noUser {
				ctx = genericapirequest.WithNamespace(t.Context(), "default")
			}
			admit := func(context.Context, runtime.Object) error { return test.admission }
			_, err := sub.Create(ctx, "bravelion", request, admit, &metav1.CreateOptions{})
			assert.True(t, test.is(err), "%v", err)
			assert.Empty(t, minter.asked)
		})
	}
}

// A refused request is called by a name that says something.
func TestREST_CreateErrorName(t *testing.T) {
	for name, test := range map[string]struct {
		change func(r *tokenRequest)
		want   string
	}{
		"by its own":                        {func(r *tokenRequest) { r.Name = "mine" }, `"mine" is invalid`},
		"by the one that is made for it":    {func(r *tokenRequest) { r.GenerateName = "mine-" }, `"mine-`},
		"without one by its ClusterProfile": {func(*tokenRequest) {}, `"bravelion" is invalid`},
		"with neither":                      {func(r *tokenRequest) { r.Spec.TargetClusterProfile.Name = "" }, `"<unnamed>" is invalid`},
		"not by what can't be a ClusterProfile's": {func(r *tokenRequest) { r.Spec.TargetClusterProfile.Name = strings.Repeat("a", 10_000) },
			`"<unnamed>" is invalid`},
	} {
		t.Run(name, func(t *testing.T) {
			top, _ := NewREST(&recorder{})
			request := newRequest()
			request.Spec.ServiceAccountName = ""
			test.change(request)
			_, err := top.Create(requestContext(t), request, admitAll, &metav1.CreateOptions{})
			require.True(t, apierrors.IsInvalid(err), "%v", err)
			assert.Regexp(t, "^"+regexp.QuoteMeta("AuthTokenRequest.multicluster.x-k8s.io "+test.want), err.Error())
		})
	}
}

// The subresource takes its target from the URL.
func TestTokenREST_Create(t *testing.T) {
	minter := &recorder{}
	_, sub := NewREST(minter)
	request := newRequest()
	request.Spec.TargetClusterProfile = v1alpha1.ClusterProfileReference{}
	_, err := sub.Create(requestContext(t), "bravelion", request, admitAll, &metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	require.NoError(t, err)
	assert.Equal(t, "bravelion", minter.asked[0].Spec.TargetClusterProfile.Name)
	assert.True(t, minter.asked[0].DryRun)
}
