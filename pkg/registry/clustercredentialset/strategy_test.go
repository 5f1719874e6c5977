// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

type (
	argoCD     = v1alpha1.ArgoCDCluster
	multiKueue = v1alpha1.MultiKueueConsumer
	setSpec    = v1alpha1.ClusterCredentialSetSpec
)

var testStrategy = newStrategy(nil, anyRights{}, Options{DecisionWriter: "controller"})

// anyRights finds nothing wrong but with one namespace.
type anyRights struct{}

func (anyRights) ValidateRights(spec *multiclusterv1alpha1.AuthTokenRequestSpec, path *field.Path) field.ErrorList {
	if spec.ServiceAccountNamespace == "kube-system" {
		return field.ErrorList{field.Forbidden(path.Child("serviceAccountNamespace"), "not for requests")}
	}
	return nil
}

func newSet() *v1alpha1.ClusterCredentialSet {
	set := &v1alpha1.ClusterCredentialSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "fleet", UID: "set-1", ResourceVersion: "1", Generation: 4},
		Spec: v1alpha1.ClusterCredentialSetSpec{
			Clusters: v1alpha1.ClusterSelection{Names: []string{"bravelion"}},
			Author:   &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "kim", Groups: []string{"team"}}},
		},
		Status: v1alpha1.ClusterCredentialSetStatus{Ready: 1},
	}
	v1alpha1.SetDefaults_ClusterCredentialSet(set)
	return set
}

func as(t *testing.T, name string) context.Context {
	t.Helper()
	return genericapirequest.WithUser(t.Context(),
		&user.DefaultInfo{Name: name, UID: "u", Groups: []string{"g"}, Extra: map[string][]string{"k": {"v"}}})
}

// The author is who creates a set.
func TestStrategy_PrepareForCreate(t *testing.T) {
	set := newSet()
	strategy{}.PrepareForCreate(as(t, "sam"), set)
	require.NotNil(t, set.Spec.Author)
	require.NotNil(t, set.Spec.Author.Since)
	set.Spec.Author.Since = nil
	assert.Equal(t, v1alpha1.Author{
		Requester: v1alpha1.Requester{Username: "sam", UID: "u", Groups: []string{"g"}}, Extra: map[string][]string{"k": {"v"}},
	}, *set.Spec.Author)
	assert.Equal(t, []string{v1alpha1.CredentialSetFinalizer}, set.Finalizers)
	assert.Equal(t, int64(1), set.Generation)
	assert.Empty(t, set.Status)

	strategy{}.PrepareForCreate(t.Context(), set)
	assert.Nil(t, set.Spec.Author, "nobody is the author where there is no user")
}

// The author is who changes the spec.
func TestStrategy_PrepareForUpdate(t *testing.T) {
	for name, test := range map[string]struct {
		change     func(set *v1alpha1.ClusterCredentialSet)
		author     string
		generation int64
	}{
		"of the spec":           {func(set *v1alpha1.ClusterCredentialSet) { set.Spec.Clusters.Names = []string{"smartfish"} }, "sam", 5},
		"not of labels":         {func(set *v1alpha1.ClusterCredentialSet) { set.Labels = map[string]string{"a": "b"} }, "kim", 4},
		"not of the status":     {func(set *v1alpha1.ClusterCredentialSet) { set.Status.Ready = 7 }, "kim", 4},
		"not of the author":     {func(set *v1alpha1.ClusterCredentialSet) { set.Spec.Author.Username = "admin" }, "kim", 4},
		"not who takes it away": {func(set *v1alpha1.ClusterCredentialSet) { set.Spec.Author = nil }, "kim", 4},
		"also one who claims to": {func(set *v1alpha1.ClusterCredentialSet) {
			set.Spec.Clusters.Names, set.Spec.Author = nil, &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "admin"}}
		}, "sam", 5},
	} {
		t.Run(name, func(t *testing.T) {
			old, set := newSet(), newSet()
			test.change(set)
			strategy{}.PrepareForUpdate(as(t, "sam"), set, old)
			assert.Equal(t, test.author, set.Spec.Author.Username)
			assert.Equal(t, test.generation, set.Generation)
			assert.Equal(t, int32(1), set.Status.Ready)
		})
	}
}

// An update of the status changes nothing else.
func TestStatusStrategy_PrepareForUpdate(t *testing.T) {
	old, set := newSet(), newSet()
	set.Spec.Author.Username, set.Spec.Clusters.Names, set.Labels, set.Status.Ready = "admin", nil, map[string]string{"a": "b"}, 3
	newStatusStrategy(nil).PrepareForUpdate(as(t, "sam"), set, old)
	assert.Equal(t, old.Spec, set.Spec)
	assert.Empty(t, set.Labels)
	assert.Equal(t, int32(3), set.Status.Ready)
}

// Nobody owns the author.
func TestStrategy_ResetFields(t *testing.T) {
	for _, fields := range testStrategy.GetResetFields() {
		assert.Contains(t, fields.String(), ".spec.author")
	}
}

// decidedBy has a set go by the decisions of writers.
func decidedBy(writers ...string) func(spec *setSpec) {
	return func(spec *setSpec) {
		spec.Clusters = v1alpha1.ClusterSelection{DecisionKey: "key", DecisionWriters: writers}
	}
}

func TestStrategy_DefaultWriters(t *testing.T) {
	of := func(writers ...string) *v1alpha1.ClusterCredentialSet {
		set := newSet()
		decidedBy(writers...)(&set.Spec)
		return set
	}
	for name, test := range map[string]struct {
		set  *v1alpha1.ClusterCredentialSet
		want []string
	}{
		"a new set goes by the controller manager's decisions": {of(), []string{"controller"}},
		"what a set says is kept":                              {of("other"), []string{"other"}},
		"a set that goes by no decisions has no writers":       {newSet(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			testStrategy.PrepareForCreate(as(t, "kim"), test.set)
			assert.Equal(t, test.want, test.set.Spec.Clusters.DecisionWriters)
		})
	}
	t.Run("a set of an earlier release stays as it is", func(t *testing.T) {
		old, set := of(), of()
		set.Labels = map[string]string{"a": "b"}
		testStrategy.PrepareForUpdate(as(t, "sam"), set, old)
		assert.Empty(t, set.Spec.Clusters.DecisionWriters)
		assert.Equal(t, "kim", set.Spec.Author.Username)
	})
	t.Run("until its spec changes, with a warning", func(t *testing.T) {
		old, set := of(), of()
		set.Spec.Secret.Labels = map[string]string{"a": "b"}
		testStrategy.PrepareForUpdate(as(t, "sam"), set, old)
		assert.Equal(t, []string{"controller"}, set.Spec.Clusters.DecisionWriters)
		assert.Equal(t, []string{"spec.clusters.decisionWriters: from now on only PlacementDecisions written by controller count; " +
			"until now those of any writer did"}, testStrategy.WarningsOnUpdate(t.Context(), set, old))
	})
	t.Run("a set that goes by decisions no more loses its writers with the key", func(t *testing.T) {
		old, set := of("controller"), of("controller")
		set.Spec.Clusters.DecisionKey, set.Spec.Clusters.Names = "", []string{"bravelion"}
		testStrategy.PrepareForUpdate(as(t, "sam"), set, old)
		assert.Empty(t, set.Spec.Clusters.DecisionWriters)
		assert.Empty(t, validateSelection(&set.Spec.Clusters, field.NewPath("spec", "clusters")))
	})
	t.Run("a set that is applied without writers keeps the default, and its author", func(t *testing.T) {
		old, set := of("controller"), of()
		testStrategy.PrepareForUpdate(as(t, "sam"), set, old)
		assert.Equal(t, []string{"controller"}, set.Spec.Clusters.DecisionWriters)
		assert.Equal(t, old.Generation, set.Generation)
		assert.Equal(t, "kim", set.Spec.Author.Username)
	})
	t.Run("labels or names may bound decisions", func(t *testing.T) {
		for _, bound := range []v1alpha1.ClusterSelection{{Names: []string{"bravelion"}}, {LabelSelector: &metav1.LabelSelector{}}} {
			bound.DecisionKey, bound.DecisionWriters = "key", []string{"controller"}
			assert.Empty(t, validateSelection(&bound, field.NewPath("spec", "clusters")))
		}
	})
}

// configName is a field that gets its default from the name of the set.
const configName = "spec.consumer.multiKueue.configName"

// byProfile has MultiKueue go by ClusterProfiles.
var byProfile = multiKueue{ClusterSource: v1alpha1.MultiKueueClusterSourceClusterProfile}

// What a set may not say.
func TestStrategy_Validate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(spec *setSpec)
		field  string
	}{
		"nothing is selected":               {func(s *setSpec) { s.Clusters.Names = nil }, "spec.clusters"},
		"clusters are selected in two ways": {func(s *setSpec) { s.Clusters.LabelSelector = &metav1.LabelSelector{} }, "spec.clusters.names"},
		"who writes decisions, without any": {func(s *setSpec) { s.Clusters.DecisionWriters = []string{"kim"} }, "spec.clusters.decisionWriters"},
		"a writer twice":                    {decidedBy("kim", "kim"), "spec.clusters.decisionWriters[1]"},
		"a writer without a name":           {decidedBy(""), "spec.clusters.decisionWriters[0]"},
		"a writer of a name without end":    {decidedBy(strings.Repeat("k", v1alpha1.MaxDecisionWriter+1)), "spec.clusters.decisionWriters[0]"},
		"too many writers":                  {decidedBy(make([]string, v1alpha1.MaxDecisionWriters+1)...), "spec.clusters.decisionWriters"},
		"a cluster twice":                   {func(s *setSpec) { s.Clusters.Names = []string{"a", "a"} }, "spec.clusters.names[1]"},
		"a selector that is none": {func(s *setSpec) {
			s.Clusters = v1alpha1.ClusterSelection{LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"-": ""}}}
		}, "spec.clusters.labelSelector.matchLabels"},
		"a namespace of members that is not for anybody": {func(s *setSpec) { s.Template.ServiceAccountNamespace = "kube-system" },
			"spec.template.serviceAccountNamespace"},
		"braces of which nothing is known": {func(s *setSpec) { s.Template.ServiceAccountName = "{{.cluster.uid}}" },
			"spec.template.serviceAccountName"},
		"a program in braces":             {func(s *setSpec) { s.Secret.Name = `{{.cluster.name}}{{range .}}{{end}}` }, "spec.secret.name"},
		"one Secret for all":              {func(s *setSpec) { s.Secret.Name = "kueue" }, "spec.secret.name"},
		"a Secret of a name that is none": {func(s *setSpec) { s.Secret.Name = "A-{{.cluster.name}}" }, "spec.secret.name"},
		"a format that is not known":      {func(s *setSpec) { s.Secret.Format = "ini" }, "spec.secret.format"},
		"a label by which the server knows Secrets": {func(s *setSpec) {
			s.Secret.Labels = map[string]string{"clusterpass.dev/member-kubeconfig": "true"}
		}, "spec.secret.labels[clusterpass.dev/member-kubeconfig]"},
		"an annotation by which it does": {func(s *setSpec) {
			s.Secret.Annotations = map[string]string{"clusterpass.dev/cluster-profile": "a/b"}
		}, "spec.secret.annotations[clusterpass.dev/cluster-profile]"},
		"a name of a MultiKueueConfig that is none":     {withMultiKueue(multiKueue{ConfigName: "A"}), configName},
		"a name that no AdmissionCheck can refer to":    {withMultiKueue(multiKueue{ConfigName: "team.gpu"}), configName},
		"a name that is too long for an AdmissionCheck": {withMultiKueue(multiKueue{ConfigName: strings.Repeat("a", 64)}), configName},
		"an order that is not known":                    {withMultiKueue(multiKueue{Order: "Random"}), "spec.consumer.multiKueue.order"},
		"a source that is not known": {withMultiKueue(multiKueue{ClusterSource: "Path"}),
			"spec.consumer.multiKueue.clusterSource"},
		"Secrets that Kueue can't read": {func(s *setSpec) {
			withMultiKueue(multiKueue{})(s)
			s.Secret.Format = v1alpha1.SecretFormatToken
		}, "spec.secret.format"},
		"rights for Kueue, which asks for others itself": {func(s *setSpec) {
			withMultiKueue(byProfile)(s)
			s.Template = v1alpha1.CredentialTemplate{ServiceAccountNamespace: "default", Audiences: []string{"kueue"}}
		}, "spec.template.audiences"},
		"a name for Argo CD that all clusters have": {withArgoCD(argoCD{Name: "{{.set.name}}"}), "spec.secret.argoCD.name"},
		"a name for Argo CD with braces of which nothing is known": {withArgoCD(argoCD{Name: "{{.cluster.name}}{{.cluster.uid}}"}),
			"spec.secret.argoCD.name"},
		"a name for Argo CD that is too long": {withArgoCD(argoCD{Name: "{{.cluster.name}}" + strings.Repeat("a", 253)}),
			"spec.secret.argoCD.name"},
		"a namespace for Argo CD that is none":       {withArgoCD(argoCD{Namespaces: []string{"a,b"}}), "spec.secret.argoCD.namespaces[0]"},
		"a namespace for Argo CD twice":              {withArgoCD(argoCD{Namespaces: []string{"a", "a"}}), "spec.secret.argoCD.namespaces[1]"},
		"too many namespaces for Argo CD":            {withArgoCD(argoCD{Namespaces: make([]string, 501)}), "spec.secret.argoCD.namespaces"},
		"resources that Argo CD would manage anyway": {withArgoCD(argoCD{ClusterResources: ptr.To(true)}), "spec.secret.argoCD.clusterResources"},
		"a project that is none":                     {withArgoCD(argoCD{Project: "A b"}), "spec.secret.argoCD.project"},
		"a shard that is none":                       {withArgoCD(argoCD{Shard: ptr.To(int32(-1))}), "spec.secret.argoCD.shard"},
		"words for Argo CD in another format":        {func(s *setSpec) { s.Secret.ArgoCD = &argoCD{Project: "infra"} }, "spec.secret.argoCD"},
		"a lifetime that is too short": {func(s *setSpec) { s.Rotation.ExpirationSeconds = ptr.To(int64(599)) },
			"spec.rotation.expirationSeconds"},
		"a renewal that comes too late": {func(s *setSpec) { s.Rotation.RefreshAtPercent = ptr.To(int32(95)) }, "spec.rotation.refreshAtPercent"},
	} {
		t.Run(name, func(t *testing.T) {
			set := newSet()
			test.change(&set.Spec)
			errs := testStrategy.Validate(t.Context(), set)
			require.Len(t, errs, 1)
			assert.Equal(t, test.field, errs[0].Field)
		})
	}
	assert.Empty(t, testStrategy.Validate(t.Context(), newSet()))
	says := newSet()
	says.Spec.Secret.Name = "{{.cluster.namespace}}-{{.cluster.name}}"
	withArgoCD(argoCD{
		Name: "{{.cluster.namespace}}/{{.cluster.displayName}}", Namespaces: []string{"a", "b"}, ClusterResources: ptr.To(false),
		Project: "infra", Shard: ptr.To(int32(0)),
	})(&says.Spec)
	assert.Empty(t, testStrategy.Validate(t.Context(), says))

	long := newSet()
	long.Name = strings.Repeat("a", 64)
	require.Len(t, testStrategy.Validate(t.Context(), long), 1)
}

// A set of a name that Kueue does not take.
func TestStrategy_ValidateName(t *testing.T) {
	dotted := newSet()
	dotted.Name = "team.gpu"
	withMultiKueue(multiKueue{})(&dotted.Spec)
	errs := testStrategy.Validate(t.Context(), dotted)
	require.Len(t, errs, 1)
	assert.Equal(t, configName, errs[0].Field)

	t.Run("has another in its spec", func(t *testing.T) {
		named := dotted.DeepCopy()
		named.Spec.Consumer.MultiKueue.ConfigName = "team-gpu"
		assert.Empty(t, testStrategy.Validate(t.Context(), named))
	})
	t.Run("can go if an earlier release has let it in", func(t *testing.T) {
		gone := dotted.DeepCopy()
		gone.Finalizers = nil
		assert.Empty(t, testStrategy.ValidateUpdate(t.Context(), gone, dotted))
		changed := dotted.DeepCopy()
		changed.Spec.Clusters.Names = []string{"another"}
		assert.Len(t, testStrategy.ValidateUpdate(t.Context(), changed, dotted), 1)
	})
}

// withArgoCD has a set say something to Argo CD.
func withArgoCD(says argoCD) func(spec *setSpec) {
	return func(spec *setSpec) {
		spec.Secret.Format, spec.Secret.ArgoCD = v1alpha1.SecretFormatArgoCD, &says
	}
}

// withMultiKueue gives a set its consumer, with the defaults of what says leaves open.
func withMultiKueue(says multiKueue) func(spec *setSpec) {
	return func(spec *setSpec) {
		says.Order = cmp.Or(says.Order, v1alpha1.MultiKueueOrderSelection)
		says.ClusterSource = cmp.Or(says.ClusterSource, v1alpha1.MultiKueueClusterSourceKubeConfig)
		spec.Consumer.MultiKueue = &says
	}
}

// Secrets stay where they are.
func TestStrategy_ValidateUpdate(t *testing.T) {
	for name, change := range map[string]func(spec *setSpec){
		"spec.secret.namespace":   func(s *setSpec) { s.Secret.Namespace = "other" },
		"spec.secret.name":        func(s *setSpec) { s.Secret.Name = "other-{{.cluster.name}}" },
		"spec.clusters.namespace": func(s *setSpec) { s.Clusters.Namespace = "other" },
		"spec.consumer.multiKueue.clusterSource": func(s *setSpec) {
			s.Template.ClusterRoles = nil
			withMultiKueue(byProfile)(s)
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := newSet()
			change(&set.Spec)
			errs := testStrategy.ValidateUpdate(t.Context(), set, newSet())
			require.Len(t, errs, 1)
			assert.Equal(t, name, errs[0].Field)
		})
	}
}

func TestStrategy_Examples(t *testing.T) {
	examples, err := filepath.Glob("../../../artifacts/examples/clustercredentialset*.yaml")
	require.NoError(t, err)
	more, err := filepath.Glob("../../../artifacts/examples/multikueue/clustercredentialset*.yaml")
	require.NoError(t, err)
	examples = append(append(examples, more...), "../../../artifacts/examples/multikueue/clusterprofile/clustercredentialset.yaml")
	require.Len(t, examples, 5)
	for _, example := range examples {
		t.Run(filepath.Base(example), func(t *testing.T) {
			data, err := os.ReadFile(example)
			require.NoError(t, err)
			set := &v1alpha1.ClusterCredentialSet{}
			require.NoError(t, yaml.UnmarshalStrict(data, set))
			v1alpha1.SetDefaults_ClusterCredentialSet(set)
			assert.Empty(t, newStrategy(nil, anyRights{}, Options{}).Validate(t.Context(), set))
		})
	}
}
