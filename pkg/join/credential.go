// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/names"
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
	kubeconfigKey      = "kubeconfig"
	memberIDAnnotation = member.MemberUIDAnnotation
)

func (j *joiner) profileName() string { return j.Namespace + "/" + j.Name }

// secretNames returns the names that the hub's Secret for a ClusterProfile may have, in
// SystemNamespace: the plain one, if it is not too long, and one with a hash for where the plain
// one is another's. a-b/c and a/b-c share the plain one.
func secretNames(namespace, name string) []string {
	plain := "member-" + namespace + "-" + name
	hashed := names.WithHash(plain, namespace, name)
	if len(plain) > validation.DNS1123SubdomainMaxLength {
		return []string{hashed}
	}
	return []string{plain, hashed}
}

// secret returns the hub's Secret, nil if there is none. Whose a Secret is says its annotation.
// From then on j.secretName is its name, or that under which it is to be made: the first that
// nobody has.
func (j *joiner) secret(ctx context.Context) (*corev1.Secret, error) {
	j.secretName = ""
	var taken error
	for _, name := range secretNames(j.Namespace, j.Name) {
		secret, err := j.hub.kube.CoreV1().Secrets(SystemNamespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			j.secretName = cmp.Or(j.secretName, name)
		case err != nil:
			return nil, j.hub.failed("read", "secret/"+name+" in "+SystemNamespace, err)
		case j.isOfProfile(secret):
			j.secretName = name
			return secret, nil
		default:
			taken = j.takenBy(secret)
		}
	}
	if j.secretName == "" {
		return nil, taken
	}
	return nil, nil //nolint:nilnil // that it is not there is an answer
}

// isOfProfile returns whether a Secret of the hub is for the ClusterProfile.
func (j *joiner) isOfProfile(secret metav1.Object) bool {
	return secret.GetAnnotations()[member.ClusterProfileAnnotation] == j.profileName()
}

func (j *joiner) takenBy(secret metav1.Object) error {
	return fmt.Errorf("hub: secret/%s in %s exists and is not for ClusterProfile %s but for %q; delete it, or join under another name",
		secret.GetName(), SystemNamespace, j.profileName(), secret.GetAnnotations()[member.ClusterProfileAnnotation])
}

// checkOurSecret refuses a Secret that somebody has made meanwhile.
func (j *joiner) checkOurSecret(found *unstructured.Unstructured) error {
	if !j.isOfProfile(found) {
		return j.takenBy(found)
	}
	return nil
}

// checkNotJoinedElsewhere refuses a member that this hub has under another name: the two would
// share one account.
func (j *joiner) checkNotJoinedElsewhere(ctx context.Context) error {
	others, err := j.otherProfiles(ctx)
	if err != nil || len(others) == 0 {
		return err
	}
	return fmt.Errorf("hub: this member is joined as ClusterProfile %s already; unjoin that first", others[0])
}

// otherProfiles returns the names of the other ClusterProfiles that have a kubeconfig for the
// member: by its UID, or, where they were joined by hand and say none, by one of ways.
func (j *joiner) otherProfiles(ctx context.Context, ways ...*clientcmdapi.Cluster) ([]string, error) {
	secrets, err := j.hub.kube.CoreV1().Secrets(SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: member.KubeconfigLabel})
	if err != nil {
		return nil, j.hub.failed("list", "secrets in "+SystemNamespace, err)
	}
	var others []string
	for i := range secrets.Items {
		annotations := secrets.Items[i].Annotations
		of, id := annotations[member.ClusterProfileAnnotation], annotations[memberIDAnnotation]
		if of != j.profileName() && (id == j.memberID || id == "" && leadsBy(&secrets.Items[i], ways)) {
			others = append(others, cmp.Or(of, "of secret/"+secrets.Items[i].Name))
		}
	}
	return others, nil
}

// credentialReady makes the hub's Secret have a kubeconfig for the member whose token works.
func (j *joiner) credentialReady(ctx context.Context, m *Member, old *corev1.Secret) error {
	token, err := j.token(ctx, m, old)
	if err != nil {
		return err
	}
	kubeconfig, err := j.kubeconfig(m, token)
	if err != nil {
		return err
	}
	return j.store(ctx, old, kubeconfig)
}

// renew gives the hub a token that works where the one it has does not, or is about to expire. What
// that takes on the member, and the rights that it had there, are made again where they are lost.
// It changes nothing else.
func (j *joiner) renew(ctx context.Context, m *Member) error {
	old, err := j.secret(ctx)
	if err != nil {
		return err
	}
	if old == nil {
		return fmt.Errorf("hub: there is no secret/%s in %s: ClusterProfile %s was not joined, or was unjoined",
			j.secretName, SystemNamespace, j.profileName())
	}
	if id := old.Annotations[memberIDAnnotation]; id != j.memberID {
		return fmt.Errorf("hub: ClusterProfile %s is for another cluster: the UID of its namespace kube-system is %q, and the member's is %q. "+
			"If this one has replaced it: %s", j.profileName(), id, j.memberID, j.unjoinHint())
	}
	if err := j.restore(ctx); err != nil {
		return err
	}
	token, err := j.token(ctx, m, old)
	if err != nil {
		return err
	}
	kubeconfig, err := member.WithKubeconfigToken(old.Data[kubeconfigKey], "", token)
	if err != nil {
		return fmt.Errorf("hub: secret/%s in %s: %w; join again without --credential-only", old.Name, SystemNamespace, err)
	}
	return j.store(ctx, old, kubeconfig)
}

// store makes the hub's Secret, which is old, or is not there, have a kubeconfig.
func (j *joiner) store(ctx context.Context, old *corev1.Secret, kubeconfig []byte) error {
	secret := &corev1.Secret{
		TypeMeta: core(kindSecret),
		ObjectMeta: metav1.ObjectMeta{
			Namespace: SystemNamespace,
			Name:      j.secretName,
			Labels:    map[string]string{member.KubeconfigLabel: "true"},
			Annotations: map[string]string{
				member.ClusterProfileAnnotation: j.profileName(),
				memberIDAnnotation:              j.memberID,
			},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{kubeconfigKey: kubeconfig},
	}
	if old != nil && bytes.Equal(old.Data[kubeconfigKey], kubeconfig) &&
		old.Labels[member.KubeconfigLabel] == "true" && old.Annotations[memberIDAnnotation] == j.memberID {
		// Whoever has renewed the token owns it: what is right is not applied, lest we own it, too.
		j.report.found("hub", "secret/"+secret.Name+" in "+SystemNamespace, "unchanged")
		return nil
	}
	return j.hub.apply(ctx, secret, j.checkOurSecret)
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
	what := "token for serviceaccount/" + ServiceAccount + " in " + SystemNamespace
	if j.DryRun != DryRunNone {
		j.report.did("member", "created", what)
		return "", nil
	}
	request, err := j.member.kube.CoreV1().ServiceAccounts(SystemNamespace).CreateToken(ctx, ServiceAccount,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: ptr.To(int64(bootstrapLifetime.Seconds())),
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: kindSecret, Name: CredentialSecret},
		}}, metav1.CreateOptions{})
	if err != nil {
		return "", j.member.failed("create", what, err)
	}
	if err := j.works(ctx, m, request.Status.Token); err != nil {
		return "", fmt.Errorf("member: the new %s does not work: %w", what, err)
	}
	j.report.did("member", "created", what+", which expires at "+request.Status.ExpirationTimestamp.UTC().Format(time.RFC3339))
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
	account, err := j.member.kube.CoreV1().ServiceAccounts(SystemNamespace).Get(ctx, ServiceAccount, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, j.member.failed("read", "serviceaccount/"+ServiceAccount+" in "+SystemNamespace, err)
	}
	if claims.Secret.UID == "" {
		return claims.ServiceAccount.UID == account.UID, nil
	}
	secret, err := j.member.kube.CoreV1().Secrets(SystemNamespace).Get(ctx, CredentialSecret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, j.member.failed("read", "secret/"+CredentialSecret+" in "+SystemNamespace, err)
	}
	return claims.ServiceAccount.UID == account.UID && claims.Secret.UID == secret.UID, nil
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
		last = member.CheckToken(ctx, as, token, SystemNamespace, ServiceAccount)
		return !errors.Is(last, member.ErrNoRights), nil
	})
	return cmp.Or(last, err)
}

// kubeconfig returns the one that the hub reaches the member by, with everything inline.
func (j *joiner) kubeconfig(m *Member, token string) ([]byte, error) {
	cluster := clientcmdapi.NewCluster()
	cluster.Server = m.Endpoint.Server
	cluster.CertificateAuthorityData = m.Endpoint.CertificateAuthorityData
	cluster.TLSServerName = m.Endpoint.TLSServerName
	cluster.ProxyURL = m.Endpoint.ProxyURL
	kubeconfig, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{j.Name: cluster},
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
