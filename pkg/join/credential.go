// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
)

const (
	// bootstrapLifetime is how long the hub has for replacing the token that join writes.
	bootstrapLifetime = 24 * time.Hour
	// reuseShare of a token's lifetime has to be left for it to be kept: a fifth, which is when the
	// hub renews its own.
	reuseShare = 5
	// rightsTimeout bounds how long a member takes to know of rights that it has just been given.
	rightsTimeout = 10 * time.Second
	// kubeconfigKey is the key in the hub's Secret.
	kubeconfigKey = "kubeconfig"
)

// renew gives the hub a token that works where the one it has does not, or is about to expire. What
// that takes on the member, and the rights that it had there, are made again where they are lost.
// It changes nothing else.
func (j *joiner) renew(ctx context.Context, m *Member) error {
	old, err := j.secret(ctx)
	if err != nil {
		return err
	}
	if old == nil {
		return fmt.Errorf("hub: there is no %s: ClusterProfile %s was not joined, or was unjoined",
			ref(secretKind, hub.SystemNamespace, j.secretName), j.profileName())
	}
	if id := old.Annotations[member.MemberUIDAnnotation]; id != j.memberID {
		return fmt.Errorf("hub: ClusterProfile %s is for another cluster: the UID of its namespace kube-system is %q, and the member's is %q. "+
			"If this one has replaced it: %s", j.profileName(), id, j.memberID, j.unjoinHint())
	}
	if err := j.restore(ctx); err != nil {
		return err
	}
	return j.credentialReady(ctx, m, old, renewed(old))
}

// renewed returns a function that returns the kubeconfig of a Secret with another token.
func renewed(secret *corev1.Secret) func(token string) ([]byte, error) {
	return func(token string) ([]byte, error) {
		kubeconfig, err := member.WithKubeconfigToken(secret.Data[kubeconfigKey], "", token)
		if err != nil {
			return nil, fmt.Errorf("hub: %s: %w; join again without --credential-only", ref(secretKind, secret.Namespace, secret.Name), err)
		}
		return kubeconfig, nil
	}
}

// kubeconfigFor returns a function that returns the kubeconfig for the hub with a token. secret is
// the hub's, or nil. Where that is for other ClusterProfiles, too, it keeps its address.
func (j *joiner) kubeconfigFor(m *Member, secret *corev1.Secret) func(token string) ([]byte, error) {
	var others []types.NamespacedName
	if secret != nil {
		others = j.without(member.SecretProfiles(secret))
	}
	if len(others) == 0 {
		return func(token string) ([]byte, error) { return j.kubeconfig(m, token) }
	}
	if !leadsBy(secret, []*clientcmdapi.Cluster{&m.Endpoint}) {
		fmt.Fprintf(j.Out, "warning: %s keeps its address and CA, which ClusterProfile %s uses, too\n",
			ref(secretKind, secret.Namespace, secret.Name), written(others))
	}
	return renewed(secret)
}

// credentialReady makes the hub's Secret, which is old, or is not there, have a kubeconfig for the
// member whose token works: the one that kubeconfigOf returns.
func (j *joiner) credentialReady(
	ctx context.Context, m *Member, old *corev1.Secret, kubeconfigOf func(token string) ([]byte, error),
) error {
	token, err := j.token(ctx, m, old)
	if err != nil {
		return err
	}
	kubeconfig, err := kubeconfigOf(token)
	if err != nil {
		return err
	}
	if old != nil && bytes.Equal(old.Data[kubeconfigKey], kubeconfig) &&
		old.Labels[member.KubeconfigLabel] == "true" && old.Annotations[member.MemberUIDAnnotation] == j.memberID {
		// Whoever has renewed the token owns it: what is right is not applied, lest we own it, too.
		if !j.isOfProfile(old) {
			return j.addName(ctx)
		}
		j.hub.found(ref(secretKind, hub.SystemNamespace, j.secretName), "unchanged")
		return nil
	}
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error { return j.applySecret(ctx, old, kubeconfig) })
}

// applySecret applies the hub's Secret, which is old, or is not there. Other ClusterProfiles that
// it names stay in it.
func (j *joiner) applySecret(ctx context.Context, old *corev1.Secret, kubeconfig []byte) error {
	secret := newObject(secretKind, hub.SystemNamespace, j.secretName)
	secret.SetLabels(map[string]string{member.KubeconfigLabel: "true"})
	secret.Object["type"] = string(corev1.SecretTypeOpaque)
	secret.Object["data"] = map[string]any{kubeconfigKey: base64.StdEncoding.EncodeToString(kubeconfig)}
	name := func(profiles []types.NamespacedName) {
		secret.SetAnnotations(map[string]string{member.ClusterProfileAnnotation: written(profiles), member.MemberUIDAnnotation: j.memberID})
	}
	name([]types.NamespacedName{j.key()})
	return j.hub.apply(ctx, FieldManager, secret, func(found *unstructured.Unstructured) error {
		if !j.isOfProfile(found) && (old == nil || old.UID != found.GetUID()) { // somebody has made it meanwhile
			return j.takenBy(found)
		}
		all, err := j.withName(found)
		name(all)
		secret.SetResourceVersion(found.GetResourceVersion())
		return err
	})
}

// token returns the one that the hub has, if it works and is not about to expire, else a new one,
// which works.
func (j *joiner) token(ctx context.Context, m *Member, old *corev1.Secret) (string, error) {
	if old != nil {
		token := member.KubeconfigToken(old.Data[kubeconfigKey], "")
		bound, err := j.isBound(ctx, token)
		if err != nil {
			return "", err
		}
		if bound && isFresh(token, time.Now()) && j.works(ctx, m, token) == nil {
			return token, nil
		}
	}
	what := "token for " + ref(accountKind, hub.SystemNamespace, ServiceAccount)
	if j.DryRun != DryRunNone {
		j.member.did("created", what)
		return "", nil
	}
	request, err := j.member.kube.CoreV1().ServiceAccounts(hub.SystemNamespace).CreateToken(ctx, ServiceAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: ptr.To(int64(bootstrapLifetime.Seconds())),
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: secretKind.Kind, Name: member.CredentialSecret},
		}}, metav1.CreateOptions{})
	if err != nil {
		return "", j.member.failed("create", what, err)
	}
	if err := j.works(ctx, m, request.Status.Token); err != nil {
		return "", fmt.Errorf("member: the new %s does not work: %w", what, err)
	}
	j.member.did("created", what+", which expires at "+request.Status.ExpirationTimestamp.UTC().Format(time.RFC3339))
	return request.Status.Token, nil
}

// isBound returns whether a token is for the ServiceAccount and the Secret that the member has now.
// The member's authenticator accepts a token for up to 10 s after these were deleted, and one for
// objects that were created again under their names ends then.
func (j *joiner) isBound(ctx context.Context, token string) (bool, error) {
	claims, err := member.ParseToken(token)
	if err != nil {
		return false, nil //nolint:nilerr // a token that says nothing is replaced
	}
	account, err := j.member.get(ctx, accountKind, hub.SystemNamespace, ServiceAccount)
	if err != nil || account == nil {
		return false, err
	}
	if claims.Secret.UID == "" {
		return claims.ServiceAccount.UID == account.GetUID(), nil
	}
	secret, err := j.member.get(ctx, secretKind, hub.SystemNamespace, member.CredentialSecret)
	if err != nil || secret == nil {
		return false, err
	}
	return claims.ServiceAccount.UID == account.GetUID() && claims.Secret.UID == secret.GetUID(), nil
}

// works returns nil if the member takes a token for the hub's account.
func (j *joiner) works(ctx context.Context, m *Member, token string) error {
	anonymous := rest.AnonymousClientConfig(m.Config)
	if _, err := kubernetes.NewForConfig(anonymous); err != nil {
		return err
	}
	as := func(token string) member.Reviews {
		config := rest.CopyConfig(anonymous)
		config.BearerToken = token
		return kubernetes.NewForConfigOrDie(config)
	}
	// The account may have its rights since a moment ago.
	var last error
	err := wait.PollUntilContextTimeout(ctx, poll, rightsTimeout, true, func(ctx context.Context) (bool, error) {
		last = member.CheckToken(ctx, as, token, hub.SystemNamespace, ServiceAccount)
		return !errors.Is(last, member.ErrNoRights), nil
	})
	return cmp.Or(last, err)
}

// kubeconfig returns the one that the hub reaches the member by, with everything inline.
func (j *joiner) kubeconfig(m *Member, token string) ([]byte, error) {
	kubeconfig, err := clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{j.Name: {
			Server:                   m.Endpoint.Server,
			CertificateAuthorityData: m.Endpoint.CertificateAuthorityData,
			TLSServerName:            m.Endpoint.TLSServerName,
			ProxyURL:                 m.Endpoint.ProxyURL,
		}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{ServiceAccount: {Token: token}},
		Contexts:       map[string]*clientcmdapi.Context{j.Name: {Cluster: j.Name, AuthInfo: ServiceAccount}},
		CurrentContext: j.Name,
	})
	if err != nil {
		return nil, errors.New("the kubeconfig for the hub can't be written") // the cause might quote it
	}
	return kubeconfig, nil
}

// isFresh returns whether a fifth of a token's lifetime is left.
func isFresh(token string, now time.Time) bool {
	validity := member.TokenValidity(token)
	if validity.NotBefore.IsZero() || validity.NotAfter.IsZero() {
		return false
	}
	return validity.NotAfter.Sub(now) > validity.NotAfter.Sub(validity.NotBefore)/reuseShare
}
