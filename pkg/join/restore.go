// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// allowedAnnotation is, on clusterpass's ServiceAccount on a member, what that was joined with:
// Allowed as JSON. The hub cannot change it, so it can be gone by when something of it is lost.
const allowedAnnotation = "clusterpass.dev/allowed"

// note has the ServiceAccount say what is allowed.
func (a *Allowed) note(o *unstructured.Unstructured) error {
	if o.GetKind() != kindServiceAccount {
		return nil
	}
	encoded, err := json.Marshal(a)
	if err != nil {
		return err
	}
	o.SetAnnotations(map[string]string{allowedAnnotation: string(encoded)})
	return nil
}

// restore makes anew what join has made on the member and is lost there, as far as the member
// itself tells what it was: what the hub's credential takes, and the rights that it was given. What
// is there is left as it is, and nobody gets more than before.
func (j *joiner) restore(ctx context.Context) error {
	account, err := j.member.get(ctx, corev1.SchemeGroupVersion.WithKind(kindServiceAccount), SystemNamespace, ServiceAccount)
	if err != nil {
		return err
	}
	if account != nil {
		if err := j.checkOurs(account); err != nil {
			return err
		}
	}
	noted, err := notedOn(account)
	if err != nil {
		return err
	}
	wanted := credentialObjects()
	if noted != nil {
		wanted = noted.Objects()
	} else if err := j.checkMainRole(ctx); err != nil {
		return err
	}
	for _, o := range wanted {
		if noted != nil {
			if err := noted.note(o); err != nil {
				return err
			}
		}
		if err := j.restoreOne(ctx, o); err != nil {
			return err
		}
	}
	return j.restoreBindings(ctx)
}

// notedOn returns what an account says is allowed, nil if it is not there or does not say.
func notedOn(account *unstructured.Unstructured) (*Allowed, error) {
	if account == nil || account.GetAnnotations()[allowedAnnotation] == "" {
		return nil, nil //nolint:nilnil // that it does not say is an answer
	}
	noted := &Allowed{}
	if err := json.Unmarshal([]byte(account.GetAnnotations()[allowedAnnotation]), noted); err != nil {
		return nil, fmt.Errorf("member: %s: annotation %s: %w", refOf(account), allowedAnnotation, err)
	}
	if err := noted.validate(); err != nil {
		return nil, fmt.Errorf("member: %s: annotation %s: %w", refOf(account), allowedAnnotation, err)
	}
	return noted, nil
}

// checkMainRole refuses to go on where nothing says which rights the hub had.
func (j *joiner) checkMainRole(ctx context.Context) error {
	found, err := j.member.get(ctx, rbacv1.SchemeGroupVersion.WithKind(kindClusterRole), "", mainRole)
	if err != nil || found != nil {
		return err
	}
	return fmt.Errorf("member: there is no clusterrole.rbac.authorization.k8s.io/%s, and no note of what was allowed; "+
		"join it again, and say what is allowed: kubectl clusterpass join %s --namespace=%s --member-context=CONTEXT "+
		"--allow-cluster-roles=ROLES --allow-namespaces=NAMESPACES", mainRole, j.Name, j.Namespace)
}

// restoreOne makes an object where it is missing. A namespace that was allowed and is gone stays
// so, with what was in it.
func (j *joiner) restoreOne(ctx context.Context, o *unstructured.Unstructured) error {
	if o.GetKind() == kindNamespace {
		existing, err := j.namespace(ctx, o.GetName())
		if err != nil || existing != nil {
			return err
		}
		return j.applyToMember(ctx, o)
	}
	existing, err := j.member.get(ctx, o.GroupVersionKind(), o.GetNamespace(), o.GetName())
	if err != nil || existing != nil {
		return err
	}
	if o.GetNamespace() != "" && o.GetNamespace() != SystemNamespace {
		namespace, err := j.member.get(ctx, namespaceKind, "", o.GetNamespace())
		if err != nil || namespace == nil {
			return err
		}
	}
	return j.applyToMember(ctx, o)
}

// restoreBindings binds those of join's roles again that are there, and whose binding is lost.
func (j *joiner) restoreBindings(ctx context.Context) error {
	for _, kind := range []string{kindClusterRole, kindRole} {
		found, err := j.member.list(ctx, rbacv1.SchemeGroupVersion.WithKind(kind), metav1.NamespaceAll, partOfLabel+"="+partOf)
		if err != nil {
			return err
		}
		for i := range found {
			if !j.isOurs(&found[i]) {
				continue
			}
			if err := j.restoreOne(ctx, bindingOf(&found[i])); err != nil {
				return err
			}
		}
	}
	return nil
}
