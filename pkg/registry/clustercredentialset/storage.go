// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/registry/author"
	"clusterpass.dev/pkg/registry/internal/bounded"
	"clusterpass.dev/pkg/registry/internal/table"
)

// Storage has the storages of sets and their subresources. All share one store, and so one cache.
type Storage struct {
	Sets   *bounded.Store
	Status *bounded.Status
	Token  *TokenREST
	Author *AuthorREST
}

// Options are the server's flags about sets.
type Options struct {
	// DecisionWriter is the user whose PlacementDecisions a set follows by default.
	DecisionWriter string
	// Masters says what to do with authors in system:masters.
	Masters MastersPolicy
	// Admission checks changes of authors. If nil, all are allowed.
	Admission admission.Interface
	// MaxAuthorAge is how long after it was recorded an author can get tokens. Zero means no limit.
	MaxAuthorAge time.Duration
}

// NewStorage returns the storage of sets. In scheme, the Go type must be registered both for
// v1alpha1 and for the internal version. minter issues the tokens, if authorizer allows the author
// to write the Secrets, too.
func NewStorage(
	scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, minter Minter, authorizer authorizer.Authorizer, options Options,
) (*Storage, error) {
	main := newStrategy(scheme, minter, options)
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &v1alpha1.ClusterCredentialSet{} },
		NewListFunc:               func() runtime.Object { return &v1alpha1.ClusterCredentialSetList{} },
		DefaultQualifiedResource:  v1alpha1.Resource("clustercredentialsets"),
		SingularQualifiedResource: v1alpha1.Resource("clustercredentialset"),
		CreateStrategy:            main,
		UpdateStrategy:            main,
		DeleteStrategy:            main,
		ResetFieldsStrategy:       main,
		TableConvertor:            table.New(columns, cells),
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: optsGetter}); err != nil {
		return nil, err
	}
	return &Storage{
		Sets:   bounded.New(store, "ccs"),
		Status: bounded.NewStatus(store, newStatusStrategy(scheme)),
		Token:  &TokenREST{sets: store, minter: minter, authorizer: authorizer, maxAuthorAge: options.MaxAuthorAge, clock: clock.RealClock{}},
		Author: newAuthorREST(store, main, scheme, options.Admission),
	}, nil
}

// text is the type of the columns.
const text = "string"

var columns = []metav1.TableColumnDefinition{
	{Name: "Credentials", Type: text, Description: "How many of the selected clusters have a valid credential."},
	{Name: "Ready", Type: text, Description: "Whether all of them have one; if not, the reason."},
	{Name: "Format", Type: text, Description: "Format of the Secrets."},
	{Name: "Secrets", Type: text, Priority: table.Wide, Description: "Namespace and name of the Secrets."},
	{Name: "Next Rotation", Type: text, Priority: table.Wide, Description: "When the first of the credentials is renewed."},
	{Name: "Author", Type: text, Priority: table.Wide, Description: "User who last changed the spec. The set gets what this user may have."},
}

func cells(set *v1alpha1.ClusterCredentialSet) []any {
	nextRotation := "<none>"
	if !set.Status.NextRotation.IsZero() {
		nextRotation = set.Status.NextRotation.UTC().Format(time.RFC3339)
	}
	return []any{
		fmt.Sprintf("%d/%d", set.Status.Ready, set.Status.Selected),
		table.Condition(set.Status.Conditions, v1alpha1.CredentialSetReady),
		string(set.Spec.Secret.Format),
		credentialset.SecretName(set, credentialset.ClusterName).String(),
		nextRotation,
		author.Name(set.Spec.Author),
	}
}
