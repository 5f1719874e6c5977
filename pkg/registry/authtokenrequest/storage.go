// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package authtokenrequest serves the virtual resources that return a token: authtokenrequests, and
// the subresource token of clusterprofiles. It stores nothing. pkg/mint does the work.
package authtokenrequest

import (
	"cmp"
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/apiserver/pkg/warning"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/bounds"
	"clusterpass.dev/pkg/mint"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
)

// Minter mints tokens.
type Minter interface {
	// Validate returns the errors in a request, by field.
	Validate(r *v1alpha1.AuthTokenRequest) field.ErrorList
	// Mint issues a token for a valid request.
	Mint(ctx context.Context, r mint.Request) (*mint.Result, error)
}

// REST serves authtokenrequests.
type REST struct{ server }

// TokenREST serves clusterprofiles/token.
type TokenREST struct{ server }

// What the two have in common is asserted of one.
var (
	_ interface {
		rest.Storage
		rest.Creater
		rest.Scoper
		rest.SingularNameProvider
		rest.ShortNamesProvider
		rest.TableConvertor
		rest.GroupVersionKindProvider
	} = &REST{}
	_ rest.NamedCreater = &TokenREST{}
)

// NewREST returns the storages of authtokenrequests and of clusterprofiles/token.
func NewREST(minter Minter) (*REST, *TokenREST) {
	return &REST{server{minter}}, &TokenREST{server{minter}}
}

// GetSingularName implements rest.SingularNameProvider.
func (*REST) GetSingularName() string { return "authtokenrequest" }

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"atr"} }

// Create answers a request with the target in its body.
func (r *REST) Create(
	ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions,
) (runtime.Object, error) {
	return r.serve(ctx, prepare(ctx, obj), nil, validate, options)
}

// Create answers a request for the ClusterProfile called name. If the body names a target, it must
// be the same.
func (r *TokenREST) Create(
	ctx context.Context, name string, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions,
) (runtime.Object, error) {
	request := prepare(ctx, obj)
	target, fldPath := &request.Spec.TargetClusterProfile, field.NewPath("spec", "targetClusterProfile")
	target.Name = cmp.Or(target.Name, name)
	var errs field.ErrorList
	if target.Name != name {
		errs = append(errs, field.Invalid(fldPath.Child("name"), target.Name, "must be the ClusterProfile of the URL, if specified"))
	}
	if target.Namespace != request.Namespace {
		errs = append(errs, field.Invalid(fldPath.Child("namespace"), target.Namespace, "must be the namespace of the URL, if specified"))
	}
	return r.serve(ctx, request, errs, validate, options)
}

// server is the common part of both storages.
type server struct{ minter Minter }

// New implements rest.Storage.
func (server) New() runtime.Object { return &v1alpha1.AuthTokenRequest{} }

// Destroy implements rest.Storage.
func (server) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (server) NamespaceScoped() bool { return true }

// GroupVersionKind implements rest.GroupVersionKindProvider. Both groups have AuthTokenRequest in
// v1alpha1 alone: clusterprofiles/token of v1alpha2 takes that, as pods/eviction takes a kind of
// policy.
func (server) GroupVersionKind(containing schema.GroupVersion) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: containing.Group, Version: v1alpha1.SchemeGroupVersion.Version, Kind: "AuthTokenRequest"}
}

// prepare completes a request from its URL, and drops fields that clients must not set.
func prepare(ctx context.Context, obj runtime.Object) *v1alpha1.AuthTokenRequest {
	request := registrystrategy.To[*v1alpha1.AuthTokenRequest](obj)
	request.Namespace = genericapirequest.NamespaceValue(ctx)
	target := &request.Spec.TargetClusterProfile
	target.Namespace = cmp.Or(target.Namespace, request.Namespace)
	if request.Name == "" && request.GenerateName != "" {
		request.Name = names.SimpleNameGenerator.GenerateName(request.GenerateName)
	}
	request.Status = v1alpha1.AuthTokenRequestStatus{}
	request.ManagedFields = nil
	return request
}

// nameOf returns the name of a request for errors. A request needs no name. Without one, errors
// name its ClusterProfile, as those about a TokenRequest name its ServiceAccount.
func nameOf(request *v1alpha1.AuthTokenRequest) string {
	target := request.Spec.TargetClusterProfile.Name
	if len(validation.NameIsDNSSubdomain(target, false)) > 0 {
		target = "<unnamed>"
	}
	return cmp.Or(request.Name, target)
}

// serve validates and admits a request, and mints the token for exactly the object that admission
// has checked. errs are the errors that were found so far.
func (s server) serve(ctx context.Context, request *v1alpha1.AuthTokenRequest, errs field.ErrorList,
	validate rest.ValidateObjectFunc, options *metav1.CreateOptions,
) (runtime.Object, error) {
	if len(errs) == 0 {
		errs = bounds.Check(request, nil)
	}
	if len(errs) == 0 {
		errs = s.minter.Validate(request)
	}
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(v1alpha1.Kind("AuthTokenRequest"), nameOf(request), bounds.Limit(errs))
	}
	if err := validate(ctx, request.DeepCopyObject()); err != nil {
		return nil, err
	}
	requester, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewUnauthorized("no user in the request")
	}
	return Answer(ctx, s.minter, request, requester, nil, len(options.DryRun) > 0)
}

// Answer mints a token for request, which is valid and admitted, in the name of requester, and
// returns request with it. owner owns the grant, or is nil: see mint.Request. Warnings go to the
// client, and annotations to the audit log.
func Answer(ctx context.Context, minter Minter, request *v1alpha1.AuthTokenRequest,
	requester user.Info, owner *metav1.OwnerReference, dryRun bool,
) (runtime.Object, error) {
	auditID, _ := audit.AuditIDFrom(ctx)
	result, err := minter.Mint(ctx, mint.Request{
		User: requester, Namespace: request.Namespace, Spec: request.Spec, AuditID: string(auditID), DryRun: dryRun, Owner: owner,
	})
	if err != nil {
		return nil, err
	}
	for _, text := range result.Warnings {
		warning.AddWarning(ctx, "", text)
	}
	audit.AddAuditAnnotationsMap(ctx, result.AuditAnnotations)
	answer := request.DeepCopy()
	answer.Status = result.Status
	return answer, nil
}

var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the request; nothing is stored under it."},
	{Name: "Cluster", Type: "string", Description: "ClusterProfile of the member cluster."},
	{Name: "Service Account", Type: "string", Description: "ServiceAccount on the member cluster, as namespace/name."},
	{Name: "Expires", Type: "string", Format: "date-time", Description: "When the token expires."},
}

// ConvertToTable implements rest.TableConvertor. No cell has the token. The object of a row has
// only metadata, even if the client asks for the whole object.
func (server) ConvertToTable(_ context.Context, obj runtime.Object, tableOptions runtime.Object) (*metav1.Table, error) {
	request := registrystrategy.To[*v1alpha1.AuthTokenRequest](obj)
	spec, expires := request.Spec, "<none>"
	if at := request.Status.ExpirationTimestamp; at != nil {
		expires = at.UTC().Format(time.RFC3339)
	}
	table := &metav1.Table{Rows: []metav1.TableRow{{
		Cells:  []any{request.Name, spec.TargetClusterProfile.Name, spec.ServiceAccountNamespace + "/" + spec.ServiceAccountName, expires},
		Object: runtime.RawExtension{Object: &v1alpha1.AuthTokenRequest{TypeMeta: request.TypeMeta, ObjectMeta: request.ObjectMeta}},
	}}}
	if options, ok := tableOptions.(*metav1.TableOptions); !ok || !options.NoHeaders {
		table.ColumnDefinitions = columns
	}
	return table, nil
}
