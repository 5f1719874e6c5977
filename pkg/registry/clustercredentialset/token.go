// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/registry/authtokenrequest"
)

// auditAuthor is an annotation in the hub's audit log: the user with whose rights a token was
// minted. The caller is the controller manager.
const auditAuthor = "clusterpass.dev/author"

// Minter mints tokens.
type Minter interface {
	Rights
	authtokenrequest.Minter
}

// TokenREST serves clustercredentialsets/token.
type TokenREST struct {
	sets         rest.Getter
	minter       Minter
	authorizer   authorizer.Authorizer
	maxAuthorAge time.Duration
	clock        clock.PassiveClock
}

var _ interface {
	rest.Storage
	rest.NamedCreater
	rest.SubresourceObjectMetaPreserver
	rest.Scoper
	rest.GroupVersionKindProvider
} = &TokenREST{}

var (
	resource    = v1alpha1.Resource("clustercredentialsets")
	requestKind = multiclusterv1alpha1.SchemeGroupVersion.WithKind("AuthTokenRequest")
)

// New implements rest.Storage.
func (*TokenREST) New() runtime.Object { return &multiclusterv1alpha1.AuthTokenRequest{} }

// Destroy implements rest.Storage.
func (*TokenREST) Destroy() {}

// PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate implements
// rest.SubresourceObjectMetaPreserver: the UID is a precondition.
func (*TokenREST) PreserveRequestObjectMetaSystemFieldsOnSubresourceCreate() bool { return true }

// NamespaceScoped implements rest.Scoper.
func (*TokenREST) NamespaceScoped() bool { return true }

// GroupVersionKind implements rest.GroupVersionKindProvider.
func (*TokenREST) GroupVersionKind(containing schema.GroupVersion) schema.GroupVersionKind {
	return containing.WithKind(requestKind.Kind)
}

// Create returns a token for the ClusterProfile that the body names. The set says which rights it
// has, and the author must hold them. If the body has metadata.uid and metadata.generation, they
// are preconditions on the set: the token of a set that was changed or replaced meanwhile must not
// get into this set's Secret. Create drops everything else in the body.
//
// It does not share the serve of authtokenrequest. The request is made from a stored set, whose
// size was checked when it was written, so it needs no bounds. The requester is the author and not
// the caller, and errors name the set.
func (r *TokenREST) Create(
	ctx context.Context, name string, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions,
) (runtime.Object, error) {
	body, ok := obj.(*multiclusterv1alpha1.AuthTokenRequest)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not an AuthTokenRequest: %T", obj))
	}
	set, err := r.set(ctx, name)
	if err != nil {
		return nil, err
	}
	if body.UID != "" && body.UID != set.UID || body.Generation != 0 && body.Generation != set.Generation {
		return nil, apierrors.NewConflict(resource, name,
			fmt.Errorf("it has UID %s and generation %d, not UID %s and generation %d", set.UID, set.Generation, body.UID, body.Generation))
	}
	target := body.Spec.TargetClusterProfile
	if target.UID == "" {
		path := field.NewPath("spec", "targetClusterProfile", "uid")
		return nil, apierrors.NewInvalid(requestKind.GroupKind(), name, field.ErrorList{field.Required(path, "UID of the ClusterProfile")})
	}
	request := credentialset.Request(set, target.Name, target.UID)
	if errs := r.minter.Validate(request); len(errs) > 0 {
		return nil, apierrors.NewInvalid(requestKind.GroupKind(), name, errs)
	}
	if validate != nil {
		if err := validate(ctx, request.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	author := &user.DefaultInfo{
		Name: set.Spec.Author.Username, UID: set.Spec.Author.UID, Groups: set.Spec.Author.Groups, Extra: set.Spec.Author.Extra,
	}
	audit.AddAuditAnnotation(ctx, auditAuthor, author.Name)
	if err := r.authorizeSecret(ctx, set, author, credentialset.SecretName(set, target.Name)); err != nil {
		return nil, err
	}
	return authtokenrequest.Answer(ctx, r.minter, request, author, metav1.NewControllerRef(set, setKind), len(options.DryRun) > 0)
}

// set returns the set from storage, or an error that says why it gets no tokens.
func (r *TokenREST) set(ctx context.Context, name string) (*v1alpha1.ClusterCredentialSet, error) {
	obj, err := r.sets.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	set := toSet(obj)
	if set.DeletionTimestamp != nil {
		return nil, apierrors.NewConflict(resource, name, errors.New("the set is being deleted"))
	}
	if !credentialset.KeepsCredentials(set) {
		return nil, apierrors.NewConflict(resource, name, errors.New("the set keeps no credentials: its consumer has a credential plugin"))
	}
	if set.Spec.Author == nil {
		return nil, apierrors.NewForbidden(resource, name, errors.New("the set has no author"))
	}
	if end := credentialset.AuthorEnd(set, r.maxAuthorAge); !end.IsZero() && !end.After(r.clock.Now()) {
		return nil, apierrors.NewForbidden(resource, name,
			fmt.Errorf("its author %q was recorded at %s, more than %s ago. To become its author: %s",
				set.Spec.Author.Username, credentialset.AuthorSince(set).UTC().Format(time.RFC3339), r.maxAuthorAge, credentialset.RenewCommand(set)))
	}
	return set, nil
}

// authorizeSecret returns nil if the author may write the Secret that the token is for, and else
// 403 with the missing rights. A set must not write a Secret that its author could not write.
func (r *TokenREST) authorizeSecret(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, author user.Info, secret types.NamespacedName,
) error {
	var missing []string
	for _, verb := range []string{"create", "update"} {
		decision, _, err := r.authorizer.Authorize(ctx, authorizer.AttributesRecord{
			User: author, Verb: verb, Namespace: secret.Namespace, APIVersion: "v1", Resource: "secrets", Name: secret.Name, ResourceRequest: true,
		})
		switch {
		case decision == authorizer.DecisionAllow:
		case err != nil:
			return apierrors.NewInternalError(fmt.Errorf("review of %s on Secret %s: %w", verb, secret, err))
		default:
			missing = append(missing, fmt.Sprintf("%s on secrets %q in namespace %q", verb, secret.Name, secret.Namespace))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return apierrors.NewForbidden(resource, set.Name, fmt.Errorf("its author %q lacks: %s", author.GetName(), strings.Join(missing, "; ")))
}
