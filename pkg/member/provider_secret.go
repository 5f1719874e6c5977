// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
)

// defaultSecretKey is the key of a Secret that a kubeconfig is read from.
const defaultSecretKey = "kubeconfig"

// secretProvider reads kubeconfigs from Secrets, by the contract of upstream's plugin
// kubeconfig-secretreader, in process and with guards: whoever edits a profile's
// status must not get at other Secrets or at other profiles' kubeconfigs, and whoever
// writes a kubeconfig must not have files read or programs run by the server.
type secretProvider struct {
	namespaces []string
}

// SecretReference is the content of the extension: where the kubeconfig for a cluster is.
type SecretReference struct {
	Name      string `json:"name"`
	Key       string `json:"key,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	// Context is one of the kubeconfig; empty: its current one.
	Context string `json:"context,omitempty"`
}

func (p *secretProvider) find(
	profile *inventoryv1alpha1.ClusterProfile, entry *inventoryv1alpha1.AccessProvider, get lookupSecret,
) (*source, error) {
	reference, err := p.reference(entry)
	if err != nil {
		return nil, err
	}
	secret, err := secretOf(profile, reference, get)
	if err != nil {
		return nil, err
	}
	if err := checkKey(secret, reference.Key); err != nil {
		return nil, err
	}
	kubeconfig, allowed, joined := secret.Data[reference.Key], secret.Annotations[ContextAnnotation], secret.Annotations[MemberUIDAnnotation]
	where := fmt.Sprintf("key %q of Secret %s/%s", reference.Key, secret.Namespace, secret.Name)
	if len(kubeconfig) == 0 {
		return nil, fmt.Errorf("%s is empty or missing", where)
	}
	return &source{
		// Where the kubeconfig is matters as well: the entry of the client says so, and goes into grants.
		key:     newAccessKey([]byte(where), kubeconfig, []byte(reference.Context), []byte(allowed), []byte(joined)),
		leaving: LeavingOf(secret, profile.Namespace, profile.Name),
		open: func() (*access, error) {
			access, err := openKubeconfig(kubeconfig, reference.Context, allowed)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", where, err)
			}
			access.joined = types.UID(joined)
			return access, nil
		},
	}, nil
}

// reference returns which Secret entry names, with defaults.
func (p *secretProvider) reference(entry *inventoryv1alpha1.AccessProvider) (SecretReference, error) {
	extensions := entry.Cluster.Extensions
	i := slices.IndexFunc(extensions, func(e clientcmdv1.NamedExtension) bool { return e.Name == execExtension })
	if i < 0 {
		return SecretReference{}, fmt.Errorf("there is no extension %s that names a Secret", execExtension)
	}
	var reference SecretReference
	if err := json.Unmarshal(extensions[i].Extension.Raw, &reference); err != nil || reference.Name == "" {
		return SecretReference{}, fmt.Errorf("the extension %s is not {name, key, namespace, context} with a name", execExtension)
	}
	reference.Key = cmp.Or(reference.Key, defaultSecretKey)
	reference.Namespace = cmp.Or(reference.Namespace, p.namespaces[0])
	if !slices.Contains(p.namespaces, reference.Namespace) {
		return SecretReference{}, fmt.Errorf("member kubeconfigs are not read from namespace %q, only from %s",
			reference.Namespace, strings.Join(p.namespaces, ", "))
	}
	return reference, nil
}

// SecretFor returns which Secret has the kubeconfig for profile's cluster. It returns false if
// config reaches the cluster in another way, or if there is no Secret that may be read: profile
// names none, and none of secrets names profile.
func SecretFor(
	config *configv1alpha1.AccessConfiguration, secrets Secrets, profile *inventoryv1alpha1.ClusterProfile,
) (SecretReference, bool) {
	chosen, entry, _ := find(newProviders(config, nil), naming(secrets), profile)
	provider, ok := chosen.provider.(*secretProvider)
	if !ok {
		return SecretReference{}, false
	}
	reference, err := provider.reference(entry)
	return reference, err == nil
}

// secretOf returns the Secret if it is meant for profile. Whoever edits the status of a profile
// chooses the name: the error is the same whether there is another cluster's Secret of that name,
// or none.
func secretOf(profile *inventoryv1alpha1.ClusterProfile, reference SecretReference, get lookupSecret) (*corev1.Secret, error) {
	name := reference.Namespace + "/" + reference.Name
	secret, err := get(reference.Namespace, reference.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		return nil, &unreadError{fmt.Errorf("the Secret %s can't be read: %w", name, err)}
	}
	if err != nil || CheckSecret(secret, profile) != nil {
		return nil, fmt.Errorf("there is no Secret %s with label %s=%s, or it is not for this cluster: it has no annotation %s=%s/%s",
			name, KubeconfigLabel, labelled, ClusterProfileAnnotation, profile.Namespace, profile.Name)
	}
	return secret, nil
}

// CheckSecret returns an error where secret is not meant to hold the kubeconfig for profile's
// cluster.
func CheckSecret(secret *corev1.Secret, profile *inventoryv1alpha1.ClusterProfile) error {
	name := secret.Namespace + "/" + secret.Name
	if secret.Labels[KubeconfigLabel] != labelled {
		return fmt.Errorf("the Secret %s has no label %s=%s", name, KubeconfigLabel, labelled)
	}
	if !IsSecretOf(secret, profile.Namespace, profile.Name) {
		return fmt.Errorf("the Secret %s is not for this cluster: it has no annotation %s=%s/%s",
			name, ClusterProfileAnnotation, profile.Namespace, profile.Name)
	}
	return nil
}

// checkKey returns an error where a key is the profile's choice and not the Secret's: whoever edits
// a profile's status would have another credential used than the Secret is for.
func checkKey(secret *corev1.Secret, key string) error {
	name := secret.Namespace + "/" + secret.Name
	switch allowed := secret.Annotations[KeyAnnotation]; {
	case allowed != "" && allowed != key:
		return fmt.Errorf("the annotation %s of Secret %s names the key %q, and not %q", KeyAnnotation, name, allowed, key)
	case allowed == "" && key != defaultSecretKey && len(secret.Data) > 1:
		return fmt.Errorf("the Secret %s has several keys: annotate it with %s=%s if that one is for this cluster", name, KeyAnnotation, key)
	}
	return nil
}

// checkContext is checkKey for the context of a kubeconfig; allowed is the one that the Secret
// names, or empty.
func checkContext(config *clientcmdapi.Config, name, allowed string) error {
	switch {
	case allowed != "" && allowed != name:
		return fmt.Errorf("the annotation %s names the context %q, and not %q", ContextAnnotation, allowed, name)
	case allowed == "" && name != config.CurrentContext && len(config.Contexts) > 1:
		return fmt.Errorf("the kubeconfig has several contexts: annotate the Secret with %s=%s if that one is for this cluster",
			ContextAnnotation, name)
	}
	return nil
}

// openKubeconfig returns the access that a context of a kubeconfig gives, which the Secret allows;
// the empty context is the current one. Parsers' errors are left out: they may quote.
func openKubeconfig(kubeconfig []byte, contextName, allowed string) (*access, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, errors.New("it is not a kubeconfig")
	}
	contextName = cmp.Or(contextName, config.CurrentContext)
	context, ok := config.Contexts[contextName]
	if !ok {
		return nil, fmt.Errorf("the kubeconfig has no context %q", contextName)
	}
	if err := checkContext(config, contextName, allowed); err != nil {
		return nil, err
	}
	cluster, ok := config.Clusters[context.Cluster]
	if !ok {
		return nil, errors.New("the kubeconfig has no cluster for the context")
	}
	user, ok := config.AuthInfos[context.AuthInfo]
	if !ok {
		return nil, errors.New("the kubeconfig has no user for the context")
	}
	ca, err := checkCluster(cluster)
	if err := errors.Join(err, checkUser(user)); err != nil {
		return nil, err
	}
	return newSecretAccess(cluster, ca, user)
}

func newSecretAccess(cluster *clientcmdapi.Cluster, ca []byte, user *clientcmdapi.AuthInfo) (*access, error) {
	config := &rest.Config{
		Host:               cluster.Server,
		BearerToken:        user.Token,
		DisableCompression: cluster.DisableCompression,
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: cluster.TLSServerName,
			CAData:     ca,
			CertData:   user.ClientCertificateData,
			KeyData:    user.ClientKeyData,
		},
	}
	if err := setProxy(config, cluster.ProxyURL); err != nil {
		return nil, err
	}
	return &access{config: config, cluster: clientcmdv1.Cluster{
		Server:                   cluster.Server,
		CertificateAuthorityData: ca,
		TLSServerName:            cluster.TLSServerName,
		ProxyURL:                 cluster.ProxyURL,
	}}, nil
}

// checkCluster returns the CA of a kubeconfig's cluster, or what of the cluster is refused. Without
// a CA the member is verified with those of the system, as kubectl does.
func checkCluster(cluster *clientcmdapi.Cluster) (ca []byte, err error) {
	if _, err := endpoint.ParseServer(cluster.Server); err != nil {
		return nil, err
	}
	switch {
	case cluster.InsecureSkipTLSVerify:
		return nil, errors.New("insecure-skip-tls-verify is refused")
	case cluster.CertificateAuthority != "":
		return nil, errors.New("certificate-authority is refused: files are not read, use certificate-authority-data")
	}
	if ca, err = endpoint.CleanBundle(cluster.CertificateAuthorityData); err != nil {
		return nil, fmt.Errorf("certificate-authority-data %w", err)
	}
	return ca, nil
}

// checkUser returns what of a kubeconfig's user is refused, or missing.
func checkUser(user *clientcmdapi.AuthInfo) error {
	switch {
	case user.Exec != nil:
		return errors.New("exec is refused: programs are not run")
	case user.AuthProvider != nil:
		return errors.New("auth-provider is refused")
	case user.TokenFile != "":
		return errors.New("tokenFile is refused: files are not read, use token")
	case user.ClientCertificate != "":
		return errors.New("client-certificate is refused: files are not read, use client-certificate-data")
	case user.ClientKey != "":
		return errors.New("client-key is refused: files are not read, use client-key-data")
	case user.Username != "" || user.Password != "":
		return errors.New("basic authentication is refused")
	case user.Impersonate != "" || user.ImpersonateUID != "" || len(user.ImpersonateGroups) > 0 || len(user.ImpersonateUserExtra) > 0:
		return errors.New("impersonation (as, as-uid, as-groups, as-user-extra) is refused")
	}
	return checkCredential(user)
}

func checkCredential(user *clientcmdapi.AuthInfo) error {
	certificate := len(user.ClientCertificateData) > 0 || len(user.ClientKeyData) > 0
	if !certificate && user.Token == "" {
		return errors.New("the user has neither token nor client-certificate-data")
	}
	if user.Token != "" && !IsToken(user.Token) {
		return errors.New("the token has characters that are not allowed in a bearer token")
	}
	if !certificate {
		return nil
	}
	if _, err := tls.X509KeyPair(user.ClientCertificateData, user.ClientKeyData); err != nil {
		return errors.New("client-certificate-data and client-key-data are not a certificate and its key in PEM")
	}
	return nil
}

// KubeconfigToken returns the inline token in a context of a kubeconfig, or "" if there is none.
// The empty context means the current one. It reads no file.
func KubeconfigToken(kubeconfig []byte, context string) string {
	_, user, err := loadUser(kubeconfig, context)
	if err != nil {
		return ""
	}
	return user.Token
}

// WithKubeconfigToken returns kubeconfig with another token in a context, and otherwise unchanged.
// Its errors quote nothing of the kubeconfig.
func WithKubeconfigToken(kubeconfig []byte, context, token string) ([]byte, error) {
	config, user, err := loadUser(kubeconfig, context)
	if err != nil {
		return nil, err
	}
	user.Token = token
	written, err := clientcmd.Write(*config)
	if err != nil {
		return nil, errors.New("the kubeconfig can't be written")
	}
	return written, nil
}

// loadUser returns the content of a kubeconfig, and the user of a context in it.
func loadUser(kubeconfig []byte, contextName string) (*clientcmdapi.Config, *clientcmdapi.AuthInfo, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, nil, errors.New("it is not a kubeconfig")
	}
	context := config.Contexts[cmp.Or(contextName, config.CurrentContext)]
	if context == nil || config.AuthInfos[context.AuthInfo] == nil {
		return nil, nil, errors.New("the kubeconfig has no user for the context")
	}
	return config, config.AuthInfos[context.AuthInfo], nil
}
