// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/registry/internal/author"
)

// MastersPolicy says what becomes of a set whose author would be in system:masters. Sets that have such an author are renewed.
type MastersPolicy string

// The values of MastersPolicy.
const (
	// MastersWarn warns the user.
	MastersWarn MastersPolicy = "Warn"
	// MastersRefuse refuses the request.
	MastersRefuse MastersPolicy = "Refuse"
)

// unrestricted is what is wrong with an author in system:masters.
const unrestricted = "is in system:masters: no RBAC ends what the set gets, not even when that user has left. Write it as another user, or as a ServiceAccount"

// warn returns the warnings about who has become the author of set.
func (m MastersPolicy) warn(set *v1alpha1.ClusterCredentialSet) []string {
	if m == MastersRefuse || !credentialset.IsUnrestricted(set.Spec.Author) {
		return nil
	}
	return []string{fmt.Sprintf("spec.author: %q %s", set.Spec.Author.Username, unrestricted)}
}

// refuse returns what is wrong with who has become the author of set.
func (m MastersPolicy) refuse(set *v1alpha1.ClusterCredentialSet) field.ErrorList {
	if m != MastersRefuse || !credentialset.IsUnrestricted(set.Spec.Author) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec", "author"), fmt.Sprintf("%q %s", set.Spec.Author.Username, unrestricted))}
}

// authorStrategy is for the subresource author: who asks becomes the author, and nothing else changes.
type authorStrategy struct{ strategy }

// PrepareForUpdate implements rest.RESTUpdateStrategy.
func (authorStrategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	set := toSet(obj)
	toSet(old).DeepCopyInto(set)
	set.Spec.Author = author.Of(ctx)
	set.Generation++
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (s authorStrategy) ValidateUpdate(_ context.Context, obj, _ runtime.Object) field.ErrorList {
	return s.masters.refuse(toSet(obj))
}

// WarningsOnUpdate implements rest.RESTUpdateStrategy.
func (s authorStrategy) WarningsOnUpdate(_ context.Context, obj, _ runtime.Object) []string {
	return s.masters.warn(toSet(obj))
}

// AuthorREST serves clustercredentialsets/author.
type AuthorREST struct {
	store *genericregistry.Store
}

var _ interface {
	rest.Storage
	rest.NamedCreater
	rest.SubresourceObjectMetaPreserver
} = &AuthorREST{}

// newAuthorREST returns an AuthorREST of store, which has been completed.
func newAuthorREST(store *genericregistry.Store, main strategy) *AuthorREST {
	of := *store
	of.UpdateStrategy = authorStrategy{main}
	return &AuthorREST{store: &of}
}

// New implements rest.Storage.
func (*AuthorREST) New() runtime.Object { return &v1alpha1.ClusterCredentialSet{} }

// Destroy implements rest.Storage. The store is that of the resource, which destroys it.
func (*AuthorREST) Destroy() {}

// PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate implements rest.SubresourceObjectMetaPreserver: the UID is a precondition.
func (*AuthorREST) PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate() bool { return true }

// Create has the user of the request become the author of a set, although nothing else of its spec changes, and answers with the set.
// The body's metadata.generation is that of the set which the user has looked at, and required: another one, which somebody has changed
// since, would have that user's rights. Its metadata.uid, where it is set, is a precondition, too. All else in the body is dropped.
func (r *AuthorREST) Create(ctx context.Context, name string, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	body, ok := obj.(*v1alpha1.ClusterCredentialSet)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a ClusterCredentialSet: %T", obj))
	}
	if body.Generation == 0 {
		return nil, apierrors.NewInvalid(v1alpha1.SchemeGroupVersion.WithKind("ClusterCredentialSet").GroupKind(), name, field.ErrorList{
			field.Required(field.NewPath("metadata", "generation"), "that of the set whose author you want to be"),
		})
	}
	if validate != nil {
		if err := validate(ctx, body.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	info := rest.DefaultUpdatedObjectInfo(nil, func(_ context.Context, _, old runtime.Object) (runtime.Object, error) {
		set := toSet(old)
		if body.UID != "" && body.UID != set.UID || body.Generation != set.Generation {
			return nil, apierrors.NewConflict(resource, name, fmt.Errorf("it is UID %s, generation %d, and not UID %s, generation %d: look at what it says now",
				set.UID, set.Generation, body.UID, body.Generation))
		}
		return set.DeepCopy(), nil
	})
	updated, _, err := r.store.Update(ctx, name, info, rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{
		DryRun: options.DryRun, FieldManager: options.FieldManager, FieldValidation: options.FieldValidation,
	})
	return updated, err
}
