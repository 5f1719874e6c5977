// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

// refreshAt is the fraction of a token's lifetime after which clients should request the next one.
const refreshAt = 0.8

// issuedToken is a token as the member issued it.
type issuedToken struct {
	token string
	// credentialID is the token's ID in the member's audit log.
	credentialID string
	// issued and expires are times of the member's clock.
	issued, expires time.Time
}

// lifetime returns the lifetime that the member has given the token.
func (t *issuedToken) lifetime() time.Duration { return t.expires.Sub(t.issued) }

// refreshAfter returns when clients should request the next token.
func (t *issuedToken) refreshAfter() time.Time {
	return t.issued.Add(time.Duration(float64(t.lifetime()) * refreshAt)).Truncate(time.Second)
}

// extendedSeconds is a lifetime that kube-apiserver uses to recognise Pods that do not renew their
// token. For such a request it issues a token that is valid for a year
// (WarnOnlyBoundTokenExpirationPeriod).
const extendedSeconds = 3607

// maxClockLead is how much later than by our clock a token may expire by its member's.
const maxClockLead = 5 * time.Minute

// clamp returns the lifetime to request from the member, in seconds, and a warning if it is shorter
// than requested.
func (m *Minter) clamp(asked *int64) (seconds int64, warnings []string) {
	seconds = ptr.Deref(asked, v1alpha1.DefaultExpirationSeconds)
	if seconds == extendedSeconds {
		seconds--
	}
	longest := int64(m.MaxExpiration / time.Second)
	if seconds <= longest {
		return seconds, nil
	}
	return longest, []string{fmt.Sprintf("requested expiration of %d seconds shortened to %d seconds, the maximum of this server",
		seconds, longest)}
}

// issue requests a token from the member, for exactly the ServiceAccount that was prepared, and
// bound to exactly that Secret. The member refuses if either has been deleted since, even if
// another object of the same name exists.
func (t *task) issue(ctx context.Context, bound grant.Bound) (token *issuedToken, err error) {
	defer observePhase(phaseIssue, t.Clock, t.Clock.Now(), &err)
	account, secret := t.grant.Spec.ServiceAccount, grant.SecretName(t.grant.UID)
	request := &authenticationv1.TokenRequest{
		ObjectMeta: metav1.ObjectMeta{UID: bound.ServiceAccount},
		Spec: authenticationv1.TokenRequestSpec{
			Audiences:         t.grant.Spec.Audiences,
			ExpirationSeconds: ptr.To(int64(t.expiration / time.Second)),
			BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: secret, UID: bound.Secret},
		},
	}
	answer, err := t.client.Kubernetes().CoreV1().ServiceAccounts(account.Namespace).
		CreateToken(ctx, account.Name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	if token, err = t.checkToken(bound, answer); err != nil {
		return nil, fmt.Errorf("the cluster answered with a token that was rejected: %w", err)
	}
	return token, nil
}

// checkToken checks the claims of a token. It does not verify the token, which the issuer has just
// sent over TLS. But the token must match the request: the ceiling of the grant must not be earlier
// than the end of any token, tokens must end with the grant's Secret, and clients must be able to
// renew a token before it expires.
func (t *task) checkToken(to grant.Bound, answer *authenticationv1.TokenRequest) (*issuedToken, error) {
	claims, err := member.ParseToken(answer.Status.Token)
	if err != nil {
		return nil, err
	}
	account, secret := t.grant.Spec.ServiceAccount, member.TokenObject{Name: grant.SecretName(t.grant.UID), UID: to.Secret}
	expires, latest := answer.Status.ExpirationTimestamp.Time, t.Clock.Now().Add(t.expiration+maxClockLead)
	switch {
	case claims.Namespace != account.Namespace || claims.ServiceAccount != member.TokenObject{Name: account.Name, UID: to.ServiceAccount}:
		return nil, errors.New("it is for another ServiceAccount")
	case claims.Secret != secret:
		return nil, errors.New("it is not bound to the Secret of the grant")
	case claims.NotBefore.IsZero() || !claims.NotAfter.After(claims.NotBefore):
		return nil, errors.New("it does not say when it becomes valid and when it expires")
	case expires.After(latest) || claims.NotAfter.After(latest):
		return nil, fmt.Errorf("it is valid for longer than the %d seconds that were requested, "+
			"or the cluster's clock is more than %s ahead of the hub's", int64(t.expiration/time.Second), maxClockLead)
	case !expires.After(claims.NotBefore):
		return nil, errors.New("it expires before it becomes valid")
	}
	issued := &issuedToken{token: answer.Status.Token, expires: expires, issued: claims.NotBefore}
	if claims.ID != "" {
		issued.credentialID = "JTI=" + claims.ID
	}
	return issued, nil
}

const (
	// usableTimeout bounds the wait for the member's authoriser, which usually learns of new
	// bindings within milliseconds.
	usableTimeout = 2 * time.Second
	usablePoll    = 10 * time.Millisecond
)

// waitUsable waits until the member's authoriser allows a new token to use its roles: otherwise its
// first use might be refused. It gives up after usableTimeout, because the token is valid, and
// other authorisers of the member may veto what RBAC allows.
//
// It does not test a token for other audiences, which the member's own API does not accept.
func (t *task) waitUsable(ctx context.Context, token *issuedToken, waiting []authorizationv1.SelfSubjectAccessReviewSpec) {
	if len(t.grant.Spec.Audiences) > 0 {
		return
	}
	var err error
	defer observePhase(phaseSettle, t.Clock, t.Clock.Now(), &err)
	reviews := t.client.WithToken(token.token).AuthorizationV1().SelfSubjectAccessReviews()
	err = wait.PollUntilContextTimeout(ctx, usablePoll, usableTimeout, true, func(ctx context.Context) (bool, error) {
		for len(waiting) > 0 {
			answer, err := reviews.Create(ctx, &authorizationv1.SelfSubjectAccessReview{Spec: waiting[0]}, metav1.CreateOptions{})
			if err != nil || !answer.Status.Allowed {
				return false, nil //nolint:nilerr // retried: the token is as new as its bindings
			}
			waiting = waiting[1:]
		}
		return true, nil
	})
	if err != nil {
		klog.FromContext(ctx).Info("The member's authoriser does not yet allow what a new token is for",
			"cluster", t.client.Name(), "waiting", len(waiting))
	}
}

// answer returns the result for a token of g. Without a token, it is that of a dry run, which does
// not call the member: the conditions about the member are Unknown, and say what would be created.
func (t *task) answer(g *clusterpassv1alpha1.AuthTokenGrant, token *issuedToken) (*Result, error) {
	cluster := t.client.Cluster()
	status := v1alpha1.AuthTokenRequestStatus{
		Cluster: &v1alpha1.Cluster{
			Server: cluster.Server, CertificateAuthorityData: cluster.CertificateAuthorityData,
			TLSServerName: cluster.TLSServerName, ProxyURL: cluster.ProxyURL,
		},
		GrantName: g.Name,
	}
	if token == nil {
		status.Conditions = conditions(g, true, metav1.NewTime(t.Clock.Now()))
		return &Result{Status: status, Warnings: t.warnings}, nil
	}
	var err error
	if status.Kubeconfig, err = kubeconfig(g, cluster, token.token); err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	status.Token = token.token
	status.ExpirationTimestamp = ptr.To(metav1.NewTime(token.expires))
	status.RefreshAfter = ptr.To(metav1.NewTime(token.refreshAfter()))
	status.Conditions = conditions(g, false, metav1.NewTime(token.issued))
	if granted := token.lifetime(); granted < t.expiration-time.Minute {
		t.warnings = append(t.warnings, fmt.Sprintf("expiration shortened to %d seconds by the cluster itself", int64(granted.Seconds())))
	}
	return &Result{Status: status, Warnings: t.warnings, AuditAnnotations: auditAnnotations(g, token)}, nil
}

// conditions returns the four conditions of a request. They name the objects that g names.
func conditions(g *clusterpassv1alpha1.AuthTokenGrant, dryRun bool, now metav1.Time) []metav1.Condition {
	const ready, planned = "ready: ", "would be found or created: "
	account := grant.Account(g).String()
	roles := strings.Join(roleNames(g, grant.Roles(nil, g.Spec.Roles)), ", ")
	clusterRoles := strings.Join(roleNames(g, grant.Roles(g.Spec.ClusterRoles, nil)), ", ")
	var all []metav1.Condition
	for _, of := range []struct{ kind, reason, done, planned, what string }{
		{v1alpha1.ConditionServiceAccountReady, v1alpha1.ReasonReady, ready, planned, account},
		{v1alpha1.ConditionRolesReady, v1alpha1.ReasonReady, ready, planned, roles},
		{v1alpha1.ConditionClusterRolesReady, v1alpha1.ReasonReady, ready, planned, clusterRoles},
		{v1alpha1.ConditionTokenRetrieved, v1alpha1.ReasonIssued, "issued for ServiceAccount ", "would be issued for ServiceAccount ", account},
	} {
		c := metav1.Condition{Type: of.kind, Status: metav1.ConditionTrue, Reason: of.reason, Message: of.done + of.what, LastTransitionTime: now}
		switch {
		case of.what == "":
			c.Reason, c.Message = v1alpha1.ReasonNotRequested, "the request names none"
		case dryRun:
			c.Status, c.Reason, c.Message = metav1.ConditionUnknown, v1alpha1.ReasonDryRun, of.planned+of.what
		}
		all = append(all, c)
	}
	return all
}

// roleNames returns the names that roles of g have on the member. Names of Roles include the
// namespace.
func roleNames(g *clusterpassv1alpha1.AuthTokenGrant, roles []grant.Role) []string {
	var names []string
	for _, role := range roles {
		names = append(names, role.On(g.UID).String())
	}
	return names
}

// kubeconfig returns a kubeconfig file with one context. Its entries are named after the cluster's
// name on the hub. The file is JSON, which is also YAML, and takes a tenth of the time to write.
func kubeconfig(g *clusterpassv1alpha1.AuthTokenGrant, cluster clientcmdv1.Cluster, token string) ([]byte, error) {
	name := g.Spec.ClusterProfile.Name
	account := g.Spec.ServiceAccount.Name + "@" + name
	config := clientcmdv1.Config{
		Kind:           "Config",
		APIVersion:     clientcmdv1.SchemeGroupVersion.Version,
		CurrentContext: name,
		Clusters:       []clientcmdv1.NamedCluster{{Name: name, Cluster: cluster}},
		AuthInfos:      []clientcmdv1.NamedAuthInfo{{Name: account, AuthInfo: clientcmdv1.AuthInfo{Token: token}}},
		Contexts: []clientcmdv1.NamedContext{{Name: name, Context: clientcmdv1.Context{
			Cluster: name, AuthInfo: account, Namespace: g.Spec.ServiceAccount.Namespace,
		}}},
	}
	encoded, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return append(encoded, '\n'), nil
}

// auditAnnotations returns annotations for the hub's audit log. They name what was granted, and
// link the event to events in the member's audit log by the credential ID.
func auditAnnotations(g *clusterpassv1alpha1.AuthTokenGrant, token *issuedToken) map[string]string {
	annotations := map[string]string{
		"clusterpass.dev/cluster-profile":     grant.Cluster(g).String(),
		"clusterpass.dev/cluster-profile-uid": string(g.Spec.ClusterProfile.UID),
		"clusterpass.dev/service-account":     grant.Account(g).String(),
		"clusterpass.dev/grant":               g.Namespace + "/" + g.Name,
		"clusterpass.dev/grant-uid":           string(g.UID),
		"clusterpass.dev/credential-id":       token.credentialID,
		"clusterpass.dev/expiration":          token.expires.UTC().Format(time.RFC3339),
	}
	if encoded, err := json.Marshal(roleNames(g, grant.Roles(g.Spec.ClusterRoles, g.Spec.Roles))); err == nil {
		annotations["clusterpass.dev/roles"] = string(encoded)
	}
	return annotations
}
