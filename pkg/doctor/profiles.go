// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

// latePart is the part of a credential's life, one in so many, that is left when it should have
// been renewed: clusterpass renews its own at 80 %.
const latePart = 8

// memberSecrets are the Secrets that clusterpass sees, as it would list them.
type memberSecrets map[types.NamespacedName]*corev1.Secret

// Get implements member.Secrets.
func (s memberSecrets) Get(namespace, name string) (*corev1.Secret, error) {
	secret, ok := s[types.NamespacedName{Namespace: namespace, Name: name}]
	if !ok {
		return nil, apierrors.NewNotFound(corev1.Resource(resourceSecrets), name)
	}
	return secret, nil
}

// Of implements member.Secrets.
func (s memberSecrets) Of(namespace, name string) ([]*corev1.Secret, error) {
	var found []*corev1.Secret
	for _, secret := range s {
		if member.IsSecretOf(secret, namespace, name) {
			found = append(found, secret)
		}
	}
	slices.SortFunc(found, func(a, b *corev1.Secret) int {
		return strings.Compare(cache.MetaObjectToName(a).String(), cache.MetaObjectToName(b).String())
	})
	return found, nil
}

// checkAccess tries, by the code that clusterpass itself has for it, whether each ClusterProfile
// gives access to its member, and looks at how long the credential lasts. It calls no member and
// shows no content of a Secret.
func checkAccess(ctx context.Context, e *examination, f *findings) {
	profiles := e.knownProfiles(f)
	if len(profiles) == 0 {
		return
	}
	secrets, err := e.listSecrets(ctx)
	if f.unknown("Secrets with the kubeconfigs of members", err) {
		return
	}
	f.withoutName(secrets)
	clusters, err := e.listPlatforms(ctx, secrets)
	if f.unknown("Secrets and Clusters of other platforms", err) {
		return
	}
	pool, err := member.NewPool(member.Options{Config: e.Access, Secrets: secrets, Karmada: clusters})
	if err != nil {
		f.fail("--access-config", "Correct the file: kubectl clusterpass doctor --access-config FILE", "%v", err)
		return
	}
	failures := map[types.UID]string{}
	if slices.ContainsFunc(profiles, isAnothers) {
		failures, err = e.accessFailures(ctx)
		f.unknown("Events about access to members", err)
	}
	for _, profile := range profiles {
		about := aboutObject(kindProfile, profile)
		client, err := pool.For(ctx, profile)
		refused := refusedAccess(profile)
		switch {
		case err != nil && isAnothers(profile) && !e.leadsSomewhere(secrets, profile):
			f.skip(about, "its manager is %q, and no Secret names it: it is not adopted, and gives no tokens. "+
				"To adopt it: kubectl clusterpass join %s -n %s --adopt --member-context=CONTEXT (docs/adopt.md)",
				words.Clean(profile.Spec.ClusterManager.Name, maxName), profile.Name, profile.Namespace)
		case err != nil:
			f.fail(about, e.mendAccess(ctx, secrets, profile), "%v", err)
		case refused != nil:
			f.fail(about, e.mendCredential(secrets, profile), "%s", inWords(refused))
		case isAnothers(profile) && failures[profile.UID] != "":
			f.fail(about, e.mendCredential(secrets, profile), "it cannot be used, by the last event about that: %s", failures[profile.UID])
		default:
			f.credential(about, e.mendCredential(secrets, profile), client.Validity(), e.now())
		}
	}
}

// knownProfiles returns the ClusterProfiles to look at, and reports what keeps it from returning
// all.
func (e *examination) knownProfiles(f *findings) []*inventoryv1alpha1.ClusterProfile {
	found := e.hub.profiles
	if f.unknown("ClusterProfiles", found.err) {
		return nil
	}
	for _, name := range found.value.missing {
		f.fail(kindProfile+" "+name.String(), "List the existing ones: kubectl get clusterprofiles -A", "it does not exist")
	}
	f.onlyIn(found.value.partial, "ClusterProfiles")
	if len(found.value.items) == 0 && len(found.value.missing) == 0 {
		f.ok("", "there is no ClusterProfile")
	}
	return found.value.items
}

func (e *examination) listSecrets(ctx context.Context) (memberSecrets, error) {
	secrets := memberSecrets{}
	for _, namespace := range member.SecretNamespaces(e.Access) {
		list, err := e.Kubernetes.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{LabelSelector: member.KubeconfigLabel + "=true"})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			secrets[types.NamespacedName{Namespace: namespace, Name: list.Items[i].Name}] = &list.Items[i]
		}
	}
	return secrets, nil
}

// withoutName warns of Secrets with kubeconfigs that name no ClusterProfile. One that names a
// ClusterProfile that is not there may be for one that its manager makes again.
func (f *findings) withoutName(secrets memberSecrets) {
	var without []string
	for name, secret := range secrets {
		if len(member.SecretProfiles(secret)) == 0 {
			without = append(without, name.String())
		}
	}
	slices.Sort(without)
	for _, name := range without {
		namespace, secret, _ := strings.Cut(name, "/")
		f.warn("Secret "+name, fmt.Sprintf("Have it name one, or delete it: kubectl -n %s annotate secret %s --overwrite %s=NAMESPACE/NAME",
			namespace, secret, member.ClusterProfileAnnotation), "it gives no access: its annotation %s names no ClusterProfile",
			member.ClusterProfileAnnotation)
	}
}

// mendAccess says what to do about a ClusterProfile that gives no access.
func (e *examination) mendAccess(ctx context.Context, secrets memberSecrets, profile *inventoryv1alpha1.ClusterProfile) string {
	name, ok := member.SecretFor(e.Access, secrets, profile)
	naming, _ := secrets.Of(profile.Namespace, profile.Name)
	switch {
	case !ok && len(naming) > 1:
		return fmt.Sprintf("Take the name of the ClusterProfile out of all but one: kubectl -n %s edit secret %s",
			naming[1].Namespace, naming[1].Name)
	case !ok && member.IsImported(profile):
		return mendPlatform(profile)
	case !ok && e.byPlugin(profile):
		return "Correct the server in its status, or what --access-config allows (servers, bindings): " + editStatus(profile)
	case !ok:
		return fmt.Sprintf("Have the Secret with the member's kubeconfig name it: kubectl -n %s annotate secret SECRET %s=%s/%s; "+
			"or its status.accessProviders name that Secret, as artifacts/examples/clusterprofile.yaml does: %s",
			SystemNamespace, member.ClusterProfileAnnotation, profile.Namespace, profile.Name, editStatus(profile))
	}
	secret, err := e.Metadata.Resource(secretsResource).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
	switch {
	case err != nil:
		return "Put the member's kubeconfig into the Secret, as artifacts/examples/member-kubeconfig.yaml does: kubectl -n " + name.Namespace +
			" get secret " + name.Name
	case secret.Labels[member.KubeconfigLabel] != "true":
		return fmt.Sprintf("If it is this cluster's, label it: kubectl -n %s label secret %s %s=true --overwrite",
			name.Namespace, name.Name, member.KubeconfigLabel)
	case !member.IsSecretOf(secret, profile.Namespace, profile.Name):
		return fmt.Sprintf("If it is this cluster's, annotate it: kubectl -n %s annotate secret %s %s=%s/%s --overwrite",
			name.Namespace, name.Name, member.ClusterProfileAnnotation, profile.Namespace, profile.Name)
	}
	return e.mendCredential(secrets, profile)
}

func editStatus(profile *inventoryv1alpha1.ClusterProfile) string {
	return fmt.Sprintf("kubectl -n %s edit clusterprofile %s --subresource=status", profile.Namespace, profile.Name)
}

// byPlugin returns whether profile is for a credential plugin of the access configuration.
func (e *examination) byPlugin(profile *inventoryv1alpha1.ClusterProfile) bool {
	return slices.ContainsFunc(e.Access.Providers, func(p configv1alpha1.AccessProvider) bool {
		return p.Exec != nil &&
			slices.ContainsFunc(profile.Status.AccessProviders, func(entry inventoryv1alpha1.AccessProvider) bool { return entry.Name == p.Name })
	})
}

// mendCredential says how the credential of clusterpass for a member is replaced.
func (e *examination) mendCredential(secrets memberSecrets, profile *inventoryv1alpha1.ClusterProfile) string {
	name, ok := member.SecretFor(e.Access, secrets, profile)
	if !ok && member.IsImported(profile) {
		return mendPlatform(profile)
	}
	if !ok {
		return "See why the credential plugin gives no valid credential: kubectl -n " + SystemNamespace + " logs deployment/" + serverName
	}
	secret := secrets[types.NamespacedName{Namespace: name.Namespace, Name: name.Name}]
	if profile.Annotations[member.MemberUIDAnnotation] != "" ||
		secret != nil && secret.Annotations[member.MemberUIDAnnotation] != "" {
		return member.MendCredential(profile)
	}
	return fmt.Sprintf("Put a new kubeconfig of the member's ServiceAccount clusterpass into its Secret: "+
		"kubectl -n %s create secret generic %s --from-file=kubeconfig=FILE --dry-run=client -o yaml | "+
		"kubectl apply --server-side --force-conflicts -f -", name.Namespace, name.Name)
}

// credential reports how long a credential lasts, by what it says itself.
func (f *findings) credential(about, mend string, validity member.Validity, now time.Time) {
	end := validity.NotAfter
	if end.IsZero() {
		f.ok(about, "it gives access; its credential does not say when it expires")
		return
	}
	date := end.UTC().Format(time.RFC3339)
	left := end.Sub(now)
	switch {
	case left <= 0:
		f.fail(about, mend, "clusterpass's own credential for the member has expired at %s", date)
	case !validity.NotBefore.IsZero() && left < end.Sub(validity.NotBefore)/latePart:
		f.warn(about, mend, "clusterpass's own credential for the member expires at %s and has not been renewed", date)
	default:
		f.ok(about, "it gives access, with a credential that is valid until %s", date)
	}
}

// checkSecrets looks for secrets in the access providers of ClusterProfiles, which everybody with
// the ClusterRole view may read. It names the field, and shows nothing of what is in there.
func checkSecrets(_ context.Context, e *examination, f *findings) {
	for _, profile := range e.knownProfiles(f) {
		about := aboutObject(kindProfile, profile)
		if fields := secretFields(profile); len(fields) > 0 {
			f.fail(about, "Replace the secret, because others may have seen it, and remove it here: "+editStatus(profile),
				"everybody who may read it sees what should be secret, in %s", strings.Join(fields, ", "))
		} else {
			f.ok(about, "there is no secret in its access providers")
		}
	}
}

// secretFields returns the paths of what looks like a secret.
func secretFields(profile *inventoryv1alpha1.ClusterProfile) []string {
	var found []string
	lists := map[string][]inventoryv1alpha1.AccessProvider{
		"status.accessProviders": profile.Status.AccessProviders, "status.credentialProviders": profile.Status.CredentialProviders,
	}
	for list, providers := range lists {
		for i := range providers {
			cluster := &providers[i].Cluster
			path := fmt.Sprintf("%s[%d].cluster.", list, i)
			if holdsSecret(cluster.Server) {
				found = append(found, path+"server")
			}
			if holdsSecret(cluster.ProxyURL) {
				found = append(found, path+"proxy-url")
			}
			if hasKey(cluster.CertificateAuthorityData) {
				found = append(found, path+"certificate-authority-data")
			}
			for j := range cluster.Extensions {
				var content any
				if json.Unmarshal(cluster.Extensions[j].Extension.Raw, &content) == nil && hasSecret("", content) {
					found = append(found, fmt.Sprintf("%sextensions[%d]", path, j))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

// holdsSecret returns whether the URL of a server or a proxy has more than says where that is.
func holdsSecret(address string) bool {
	parsed, err := url.Parse(address)
	if err != nil {
		return strings.ContainsAny(address, "@?#")
	}
	return parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != ""
}

// hasKey returns whether there is a private key among certificates.
func hasKey(data []byte) bool {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return false
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return true
		}
	}
}

var (
	// secretName is how fields, headers and environment variables with a secret are called.
	secretName = regexp.MustCompile(`(?i)(passw(or)?d|token|authorization|api_?key|private_?key|client-?key-?data|secret_?(access_?)?key)$`)
	// tokenWords are how a JSON Web Token begins.
	tokenWords = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.`)
)

// hasSecret returns whether there is a secret in what an extension has under a name, by the name or
// by the looks of it.
func hasSecret(name string, content any) bool {
	switch value := content.(type) {
	case string:
		parsed, err := url.Parse(value)
		return value != "" && secretName.MatchString(name) || tokenWords.MatchString(value) || hasKey([]byte(value)) ||
			err == nil && parsed.Host != "" && parsed.User != nil
	case []any:
		return slices.ContainsFunc(value, func(item any) bool { return hasSecret(name, item) })
	case map[string]any:
		// An environment variable or a header is {name: NAME, value: VALUE}.
		if named, ok := value["name"].(string); ok && hasSecret(named, value["value"]) {
			return true
		}
		for key, item := range value {
			if hasSecret(key, item) {
				return true
			}
		}
	}
	return false
}
