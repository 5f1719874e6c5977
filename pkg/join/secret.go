// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/names"
)

func (t *Target) profileName() string { return t.key().String() }

func (t *Target) key() types.NamespacedName {
	return types.NamespacedName{Namespace: t.Namespace, Name: t.Name}
}

// secretNames returns the names that the hub's Secret for a ClusterProfile may have, in the
// namespace of clusterpass: the plain one, if it is not too long, and one with a hash for where the
// plain one is another's. a-b/c and a/b-c share the plain one.
func secretNames(namespace, name string) []string {
	plain := "member-" + namespace + "-" + name
	hashed := names.WithHash(plain, namespace, name)
	if len(plain) > validation.DNS1123SubdomainMaxLength {
		return []string{hashed}
	}
	return []string{plain, hashed}
}

// secrets returns the Secrets with kubeconfigs of members in the namespace of clusterpass.
func (j *joiner) secrets(ctx context.Context) ([]corev1.Secret, error) {
	found, err := j.hub.kube.CoreV1().Secrets(hub.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: member.KubeconfigLabel})
	if err != nil {
		return nil, j.hub.failed("list", "secrets in "+hub.SystemNamespace, err)
	}
	return found.Items, nil
}

// secret returns the hub's Secret, nil if there is none. Whose a Secret is says its annotation,
// whatever its name is. From then on j.secretName is its name, or that under which it is to be
// made: the first of secretNames that nobody has.
func (j *joiner) secret(ctx context.Context) (*corev1.Secret, error) {
	all, err := j.secrets(ctx)
	if err != nil {
		return nil, err
	}
	named := slices.DeleteFunc(all, func(secret corev1.Secret) bool { return !j.isOfProfile(&secret) })
	switch len(named) {
	case 0:
	case 1:
		j.secretName = named[0].Name
		return &named[0], nil
	default:
		return nil, fmt.Errorf("hub: secrets %s and %s in %s are both for ClusterProfile %s; delete the one that is not in use",
			named[0].Name, named[1].Name, hub.SystemNamespace, j.profileName())
	}
	j.secretName = ""
	var taken error
	for _, name := range secretNames(j.Namespace, j.Name) {
		secret, err := j.hub.kube.CoreV1().Secrets(hub.SystemNamespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			j.secretName = cmp.Or(j.secretName, name)
		case err != nil:
			return nil, j.hub.failed("read", ref(secretKind, hub.SystemNamespace, name), err)
		case j.isOfProfile(secret): // without the label
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
	return member.IsSecretOf(secret, j.Namespace, j.Name)
}

func (j *joiner) takenBy(secret metav1.Object) error {
	return fmt.Errorf("hub: %s exists and is not for ClusterProfile %s but for %q; delete it, or join under another name",
		ref(secretKind, hub.SystemNamespace, secret.GetName()), j.profileName(), secret.GetAnnotations()[member.ClusterProfileAnnotation])
}

// without returns profiles without the ClusterProfile.
func (j *joiner) without(profiles []types.NamespacedName) []types.NamespacedName {
	return slices.DeleteFunc(profiles, func(of types.NamespacedName) bool { return of == j.key() })
}

// otherProfiles returns the names of the other ClusterProfiles that have a kubeconfig for the
// member: by its UID, or, where they were joined by hand and say none, by one of ways.
func (j *joiner) otherProfiles(ctx context.Context, ways ...*clientcmdapi.Cluster) ([]string, error) {
	secrets, err := j.secrets(ctx)
	if err != nil {
		return nil, err
	}
	var others []string
	for i := range secrets {
		secret := &secrets[i]
		id := secret.Annotations[member.MemberUIDAnnotation]
		if id != j.memberID && (id != "" || !leadsBy(secret, ways)) {
			continue
		}
		for _, of := range j.without(member.SecretProfiles(secret)) {
			others = append(others, of.String())
		}
		if len(member.SecretProfiles(secret)) == 0 {
			others = append(others, "of secret/"+secret.Name)
		}
	}
	return others, nil
}
