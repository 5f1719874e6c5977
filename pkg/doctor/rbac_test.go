// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/member"
)

// right is a rule for one verb on one resource.
type right struct{ namespace, group, resource, name, verb string }

func rightsOf(namespace string, rules []rbacv1.PolicyRule) sets.Set[right] {
	rights := sets.New[right]()
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, name := range names {
					for _, verb := range rule.Verbs {
						rights.Insert(right{namespace, group, resource, name, verb})
					}
				}
			}
		}
	}
	return rights
}

func rightsIn(needs []need) sets.Set[right] {
	rights := sets.New[right]()
	for _, n := range needs {
		for _, resource := range n.resources {
			for _, verb := range n.verbs {
				rights.Insert(right{n.namespace, n.group, resource, n.name, verb})
			}
		}
	}
	return rights
}

// builtIn are the roles that kube-apiserver makes in every cluster and that our manifests bind.
var builtIn = map[string][]rbacv1.PolicyRule{
	"system:auth-delegator": {
		{APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"tokenreviews"}, Verbs: []string{"create"}},
		{APIGroups: []string{"authorization.k8s.io"}, Resources: []string{"subjectaccessreviews"}, Verbs: []string{"create"}},
	},
	"extension-apiserver-authentication-reader": {
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"extension-apiserver-authentication"}, Verbs: []string{"get", "list", "watch"}},
	},
}

// deployed returns what artifacts/deploy/rbac gives a ServiceAccount.
func deployed(t *testing.T, account string) sets.Set[right] {
	t.Helper()
	rules := map[string][]rbacv1.PolicyRule{}
	for name, builtIn := range builtIn {
		rules["/"+name] = builtIn
		rules["kube-system/"+name] = builtIn
	}
	type binding struct {
		namespace string
		role      rbacv1.RoleRef
		subjects  []rbacv1.Subject
	}
	var bindings []binding
	for _, object := range manifests(t, filepath.Join("..", "..", "artifacts", "deploy", "rbac")) {
		switch object := object.(type) {
		case *rbacv1.ClusterRole:
			rules["/"+object.Name] = object.Rules
		case *rbacv1.Role:
			rules[object.Namespace+"/"+object.Name] = object.Rules
		case *rbacv1.ClusterRoleBinding:
			bindings = append(bindings, binding{"", object.RoleRef, object.Subjects})
		case *rbacv1.RoleBinding:
			bindings = append(bindings, binding{object.Namespace, object.RoleRef, object.Subjects})
		}
	}
	rights := sets.New[right]()
	for _, b := range bindings {
		for _, subject := range b.subjects {
			if subject.Kind != rbacv1.ServiceAccountKind || subject.Namespace != SystemNamespace || subject.Name != account {
				continue
			}
			key := "/" + b.role.Name
			if b.role.Kind == "Role" {
				key = b.namespace + key
			}
			found, ok := rules[key]
			require.True(t, ok, "%s %s is bound and not known here", b.role.Kind, b.role.Name)
			rights = rights.Union(rightsOf(b.namespace, found))
		}
	}
	return rights
}

// manifests returns the objects of the built-in groups in a folder's files.
func manifests(t *testing.T, dir string) []runtime.Object {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var objects []runtime.Object
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
		for {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			object, _, err := scheme.Codecs.UniversalDeserializer().Decode(document, nil, nil)
			require.NoError(t, err, "%s", file)
			objects = append(objects, object)
		}
	}
	return objects
}

func TestNeedsAreWhatIsDeployed(t *testing.T) {
	for account, needs := range map[string][]need{serverName: serverNeeds, managerName: managerNeeds} {
		t.Run(account, func(t *testing.T) {
			given, asked := deployed(t, account), rightsIn(needs)
			assert.Empty(t, given.Difference(asked).UnsortedList(), "artifacts/deploy/rbac gives it, and doctor does not ask for it")
			assert.Empty(t, asked.Difference(given).UnsortedList(), "doctor asks for it, and artifacts/deploy/rbac does not give it")
			for _, n := range needs {
				assert.NotEmpty(t, n.without, "%+v", n)
			}
		})
	}
}

// reviewed answers SubjectAccessReviews by allow, and keeps them.
func reviewed(allow func(authorizationv1.SubjectAccessReviewSpec) bool) (*fake.Clientset, *[]authorizationv1.SubjectAccessReviewSpec) {
	client := fake.NewClientset()
	var asked []authorizationv1.SubjectAccessReviewSpec
	client.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		asked = append(asked, review.Spec)
		review.Status.Allowed = allow(review.Spec)
		return true, review, nil
	})
	return client, &asked
}

func TestRBACOfAProgram(t *testing.T) {
	e := newExamination(nil)
	client, asked := reviewed(func(spec authorizationv1.SubjectAccessReviewSpec) bool {
		return spec.ResourceAttributes.Resource != "mutatingadmissionpolicies" || spec.ResourceAttributes.Verb != "list"
	})
	e.Kubernetes = client

	found := checkServerRBAC(t.Context(), e)

	require.Len(t, found, 1)
	assert.Equal(t, Fail, found[0].Verdict)
	assert.Equal(t, `it lacks list on mutatingadmissionpolicies of admissionregistration.k8s.io, in all namespaces; without it, every write is answered with "not yet ready to handle request"`, found[0].Message)
	assert.Contains(t, found[0].Mend, "kubectl apply -k artifacts/deploy/rbac")
	for _, spec := range *asked {
		assert.Equal(t, DefaultServerUser, spec.User)
		assert.ElementsMatch(t, []string{"system:serviceaccounts", "system:serviceaccounts:clusterpass-system", "system:authenticated"}, spec.Groups)
		assert.NotEqual(t, "clusterprofiles", spec.ResourceAttributes.Resource, "it is asked for what --inventory=External takes")
	}
}

func TestRBACThatTheCallerMayNotAskFor(t *testing.T) {
	e := newExamination(nil)
	client := fake.NewClientset()
	client.PrependReactor("create", "subjectaccessreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(authorizationv1.Resource("subjectaccessreviews"), "", errors.New("no"))
	})
	e.Kubernetes = client
	assert.Equal(t, Skip, Worst(checkManagerRBAC(t.Context(), e)))
}

func TestGroupsOfAUserThatIsNoServiceAccount(t *testing.T) {
	assert.Equal(t, []string{"system:authenticated"}, groupsOf("clusterpass"))
}

func TestSecretsAreReadWhereTheConfigurationSays(t *testing.T) {
	e := newExamination(nil)
	e.Access = &configv1alpha1.AccessConfiguration{Providers: []configv1alpha1.AccessProvider{
		{KubeconfigSecret: &configv1alpha1.KubeconfigSecretProvider{Namespaces: []string{"fleet-a", "fleet-b"}}},
	}}
	namespaces := sets.New[string]()
	for _, n := range e.applicable(serverNeeds) {
		if n.resources[0] == resourceSecrets {
			namespaces.Insert(n.namespace)
		}
	}
	assert.Equal(t, sets.New("fleet-a", "fleet-b"), namespaces)
}

// newExamination returns one of a hub in mode Served where nothing has been observed.
func newExamination(clients *Clients) *examination {
	if clients == nil {
		clients = &Clients{}
	}
	clients.Clock = testClock
	return &examination{
		Options: Options{ServerUser: DefaultServerUser, ManagerUser: DefaultManagerUser, Access: member.DefaultConfig(), Namespace: "default"},
		Clients: clients,
	}
}
