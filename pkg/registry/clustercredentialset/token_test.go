// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	clocktesting "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/mint"
)

type (
	credentialSet = v1alpha1.ClusterCredentialSet
	request       = multiclusterv1alpha1.AuthTokenRequest
)

var testClock = clocktesting.NewFakePassiveClock(time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))

// recorder is a Minter that answers everything with a token and remembers what it was asked.
type recorder struct {
	anyRights
	asked []mint.Request
}

func (*recorder) Validate(r *request) field.ErrorList {
	if r.Spec.TargetClusterProfile.Name == "" {
		return field.ErrorList{field.Required(field.NewPath("spec", "targetClusterProfile", "name"), "")}
	}
	return nil
}

func (m *recorder) Mint(_ context.Context, r mint.Request) (*mint.Result, error) {
	m.asked = append(m.asked, r)
	return &mint.Result{Status: multiclusterv1alpha1.AuthTokenRequestStatus{Token: "minted"}}, nil
}

// stored is a store of one set.
type stored struct {
	set *credentialSet
}

func (s stored) Get(context.Context, string, *metav1.GetOptions) (runtime.Object, error) {
	return s.set.DeepCopy(), nil
}

// newToken returns a TokenREST for set, and what it asks. Its authoriser lets everybody but those
// write Secrets who are named.
func newToken(set *credentialSet, without ...string) (*TokenREST, *recorder) {
	minter := &recorder{}
	return &TokenREST{sets: stored{set}, minter: minter, clock: testClock, authorizer: authorizer.AuthorizerFunc(
		func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
			if a.GetResource() != "secrets" || a.GetNamespace() != "team" || a.GetName() != "fleet-bravelion" {
				return authorizer.DecisionDeny, "", errors.New("that is not asked")
			}
			for _, name := range without {
				if a.GetUser().GetName() == name && a.GetVerb() == "update" {
					return authorizer.DecisionNoOpinion, "", nil
				}
			}
			return authorizer.DecisionAllow, "", nil
		})}, minter
}

func body(change func(r *request)) *request {
	r := &request{}
	r.Spec.TargetClusterProfile.Name, r.Spec.TargetClusterProfile.UID = "bravelion", "uid-1"
	change(r)
	return r
}

func asIs(*request) {}

// A token is what the set says, for its author.
func TestTokenREST_Create(t *testing.T) {
	set := newSet()
	set.Spec.Template.ClusterRoles = []multiclusterv1alpha1.ClusterRole{{Name: "view"}}
	rest, minter := newToken(set)
	greedy := body(func(r *request) {
		r.Spec.ClusterRoles = []multiclusterv1alpha1.ClusterRole{{Name: "cluster-admin"}}
		r.Spec.ServiceAccountName, r.Spec.TargetClusterProfile.Namespace = "other", "other"
		r.UID, r.Generation = set.UID, set.Generation
	})
	answer, err := rest.Create(as(t, "controller"), "fleet", greedy, nil, &metav1.CreateOptions{})
	require.NoError(t, err)
	answered, ok := answer.(*request)
	require.True(t, ok)
	assert.Equal(t, "minted", answered.Status.Token)

	require.Len(t, minter.asked, 1)
	asked := minter.asked[0]
	assert.Equal(t, "kim", asked.User.GetName())
	assert.Equal(t, []string{"team"}, asked.User.GetGroups())
	assert.Equal(t, "team", asked.Namespace)
	assert.Equal(t, set.Spec.Template.ClusterRoles, asked.Spec.ClusterRoles)
	assert.Equal(t, "team", asked.Spec.TargetClusterProfile.Namespace)
	assert.Regexp(t, `^fleet-[a-z2-7]{10}$`, asked.Spec.ServiceAccountName)
	require.NotNil(t, asked.Owner)
	assert.Equal(t, set.UID, asked.Owner.UID)
	assert.False(t, asked.DryRun)

	_, err = rest.Create(as(t, "controller"), "fleet", body(asIs), nil, &metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	require.NoError(t, err)
	assert.True(t, minter.asked[1].DryRun)
}

// When there is no token.
func TestTokenREST_CreateRefused(t *testing.T) {
	denied := errors.New("denied by a policy")
	for name, test := range map[string]struct {
		set     func(set *credentialSet)
		body    func(r *request)
		admit   func(context.Context, runtime.Object) error
		without string
		is      func(error) bool
	}{
		"the set is being deleted": {set: func(set *credentialSet) { set.DeletionTimestamp = &metav1.Time{} },
			is: apierrors.IsConflict},
		"the set has no author":                    {set: func(set *credentialSet) { set.Spec.Author = nil }, is: apierrors.IsForbidden},
		"the author may not write the Secret":      {without: "kim", is: apierrors.IsForbidden},
		"the set has changed since":                {body: func(r *request) { r.Generation = 3 }, is: apierrors.IsConflict},
		"the set is another one of its name":       {body: func(r *request) { r.UID = "set-0" }, is: apierrors.IsConflict},
		"no cluster is named":                      {body: func(r *request) { r.Spec.TargetClusterProfile.Name = "" }, is: apierrors.IsInvalid},
		"it is not said which cluster of the name": {body: func(r *request) { r.Spec.TargetClusterProfile.UID = "" }, is: apierrors.IsInvalid},
		"a policy denies what the set would ask for": {admit: func(context.Context, runtime.Object) error { return denied },
			is: func(err error) bool { return errors.Is(err, denied) }},
	} {
		t.Run(name, func(t *testing.T) {
			set := newSet()
			if test.set != nil {
				test.set(set)
			}
			if test.body == nil {
				test.body = asIs
			}
			rest, minter := newToken(set, test.without)
			_, err := rest.Create(as(t, "controller"), "fleet", body(test.body), test.admit, &metav1.CreateOptions{})
			require.Error(t, err)
			assert.True(t, test.is(err), err)
			assert.Empty(t, minter.asked)
		})
	}
}

func TestTokenREST_MaxAuthorAge(t *testing.T) {
	const maxAge = 90 * 24 * time.Hour
	for name, test := range map[string]struct {
		author string
		age    time.Duration
		maxAge time.Duration
		want   string
	}{
		"a user may have tokens minted for as long as that": {"kim", maxAge - time.Second, maxAge, ""},
		"and no longer": {"kim", maxAge, maxAge, `its author "kim" was recorded at 2026-02-03T12:00:00Z, ` +
			`more than 2160h0m0s ago. To become its author: kubectl clusterpass renew-author fleet -n team --generation=4`},
		"a ServiceAccount for ever":   {"system:serviceaccount:team:deployer", 10 * maxAge, maxAge, ""},
		"anybody where it is not set": {"kim", 10 * maxAge, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			set := newSet()
			since := metav1.NewTime(testClock.Now().Add(-test.age))
			set.Spec.Author.Username, set.Spec.Author.Since = test.author, &since
			rest, minter := newToken(set)
			rest.maxAuthorAge = test.maxAge
			_, err := rest.Create(t.Context(), "fleet", body(asIs), nil, &metav1.CreateOptions{})
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.True(t, apierrors.IsForbidden(err), "%v", err)
			require.ErrorContains(t, err, test.want)
			assert.Empty(t, minter.asked)
		})
	}
}
