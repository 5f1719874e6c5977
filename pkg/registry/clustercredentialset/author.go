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
	"k8s.io/apiserver/pkg/admission"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/util/dryrun"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/registry/author"
)

// MastersPolicy says what the server does when a user in system:masters would become the author of
// a set. Existing sets with such an author keep working.
type MastersPolicy string

// The values of MastersPolicy.
const (
	// MastersWarn warns the user.
	MastersWarn MastersPolicy = "Warn"
	// MastersRefuse refuses the request.
	MastersRefuse MastersPolicy = "Refuse"
)

// unrestricted is the error about an author in system:masters.
const unrestricted = "is in system:masters: RBAC cannot limit what the set gets, even after that user has left. " +
	"Write it as another user, or as a ServiceAccount"

// warn returns the warnings about the new author of set.
func (m MastersPolicy) warn(set *v1alpha1.ClusterCredentialSet) []string {
	if m == MastersRefuse || !credentialset.IsUnrestricted(set.Spec.Author) {
		return nil
	}
	return []string{fmt.Sprintf("spec.author: %q %s", set.Spec.Author.Username, unrestricted)}
}

// refuse returns the errors about the new author of set.
func (m MastersPolicy) refuse(set *v1alpha1.ClusterCredentialSet) field.ErrorList {
	if m != MastersRefuse || !credentialset.IsUnrestricted(set.Spec.Author) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec", "author"), fmt.Sprintf("%q %s", set.Spec.Author.Username, unrestricted))}
}

// authorStrategy is for the subresource author: the user of the request becomes the author, and
// nothing else changes.
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
	store     *genericregistry.Store
	admission admission.Interface
	objects   admission.ObjectInterfaces
}

var _ interface {
	rest.Storage
	rest.NamedCreater
	rest.SubresourceObjectMetaPreserver
} = &AuthorREST{}

// newAuthorREST returns an AuthorREST of store, which has been completed. admit checks updates of
// sets; it may be nil.
func newAuthorREST(store *genericregistry.Store, main strategy, scheme *runtime.Scheme, admit admission.Interface) *AuthorREST {
	of := *store
	of.UpdateStrategy = authorStrategy{main}
	return &AuthorREST{store: &of, admission: admit, objects: admission.NewObjectInterfacesFromScheme(scheme)}
}

var setKind = v1alpha1.SchemeGroupVersion.WithKind("ClusterCredentialSet")

// New implements rest.Storage.
func (*AuthorREST) New() runtime.Object { return &v1alpha1.ClusterCredentialSet{} }

// Destroy implements rest.Storage. The main resource destroys the store.
func (*AuthorREST) Destroy() {}

// PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate implements
// rest.SubresourceObjectMetaPreserver: the UID is a precondition.
func (*AuthorREST) PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate() bool { return true }

// Create makes the user of the request the author of a set, without any other change of its spec,
// and returns the set. The body must have metadata.generation and metadata.uid of the set that the
// user has reviewed. Otherwise, a set that somebody has changed or replaced since would get that
// user's rights. Create drops everything else in the body.
//
// Admission checks the set with its new author twice: as the object of this create, and as an
// update of the set, like any other change of the author.
func (r *AuthorREST) Create(
	ctx context.Context, name string, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions,
) (runtime.Object, error) {
	body, ok := obj.(*v1alpha1.ClusterCredentialSet)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a ClusterCredentialSet: %T", obj))
	}
	if body.Generation == 0 || body.UID == "" {
		const which = "that of the set that you have reviewed"
		path := field.NewPath("metadata")
		return nil, apierrors.NewInvalid(setKind.GroupKind(), name, field.ErrorList{
			field.Required(path.Child("generation"), which), field.Required(path.Child("uid"), which),
		})
	}
	info := rest.DefaultUpdatedObjectInfo(nil, func(_ context.Context, _, old runtime.Object) (runtime.Object, error) {
		set := toSet(old)
		if body.UID != set.UID || body.Generation != set.Generation {
			return nil, apierrors.NewConflict(resource, name, fmt.Errorf(
				"it has UID %s and generation %d, not UID %s and generation %d: review it again", set.UID, set.Generation, body.UID, body.Generation))
		}
		return set.DeepCopy(), nil
	})
	update := &metav1.UpdateOptions{DryRun: options.DryRun, FieldManager: options.FieldManager, FieldValidation: options.FieldValidation}
	admit := func(ctx context.Context, obj, old runtime.Object) error {
		if validate != nil {
			if err := validate(ctx, obj.DeepCopyObject()); err != nil {
				return err
			}
		}
		return r.admitUpdate(ctx, toSet(obj), old, update)
	}
	updated, _, err := r.store.Update(ctx, name, info, rest.ValidateAllObjectFunc, admit, false, update)
	return updated, err
}

// admitUpdate calls the hub's validating policies and webhooks for an update of a set.
func (r *AuthorREST) admitUpdate(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, old runtime.Object, options *metav1.UpdateOptions,
) error {
	validator, ok := r.admission.(admission.ValidationInterface)
	if !ok || !validator.Handles(admission.Update) {
		return nil
	}
	user, _ := genericapirequest.UserFrom(ctx)
	attributes := admission.NewAttributesRecord(set.DeepCopy(), old, setKind, set.Namespace, set.Name,
		v1alpha1.SchemeGroupVersion.WithResource(resource.Resource), "", admission.Update, options, dryrun.IsDryRun(options.DryRun), user)
	return validator.Validate(ctx, attributes, r.objects)
}
