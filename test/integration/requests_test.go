// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned/scheme"
	"clusterpass.dev/test/testenv"
)

// minted remembers every token that a test got, for the test that looks for them in the logs.
var minted struct {
	sync.Mutex
	tokens []string
}

func remember(token string) {
	minted.Lock()
	defer minted.Unlock()
	if token != "" {
		minted.tokens = append(minted.tokens, token)
	}
}

// form is one of the ways to ask for a token.
type form struct {
	name string
	path func(namespace, cluster string) string
	kind metav1.TypeMeta
}

// forms are all of them: they run one pipeline, and tests that are about it run for each.
var forms = []form{
	{
		name: "authtokenrequests.multicluster.x-k8s.io",
		path: func(namespace, _ string) string {
			return "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/" + namespace + "/authtokenrequests"
		},
		kind: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "AuthTokenRequest"},
	},
	{
		name: "authtokenrequests.clusterpass.dev",
		path: func(namespace, _ string) string {
			return "/apis/clusterpass.dev/v1alpha1/namespaces/" + namespace + "/authtokenrequests"
		},
		kind: metav1.TypeMeta{APIVersion: clusterpassv1alpha1.SchemeGroupVersion.String(), Kind: "AuthTokenRequest"},
	},
	{
		name: "clusterprofiles/token",
		path: func(namespace, cluster string) string {
			return "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/" + namespace + "/clusterprofiles/" + cluster + "/token"
		},
		kind: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "AuthTokenRequest"},
	},
	{
		name: "clusterprofiles/token in v1alpha2",
		path: func(namespace, cluster string) string {
			return "/apis/multicluster.x-k8s.io/v1alpha2/namespaces/" + namespace + "/clusterprofiles/" + cluster + "/token"
		},
		kind: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "AuthTokenRequest"},
	},
}

// request returns a request for account in namespace default of cluster, whose ClusterProfile is in
// default, too.
func request(cluster, account string, clusterRoles ...string) *v1alpha1.AuthTokenRequest {
	r := &v1alpha1.AuthTokenRequest{Spec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: cluster},
		ServiceAccountName:      account,
		ServiceAccountNamespace: "default",
	}}
	for _, role := range clusterRoles {
		r.Spec.ClusterRoles = append(r.Spec.ClusterRoles, v1alpha1.ClusterRole{Name: role})
	}
	return r
}

// ask sends r in form f from namespace default. It returns the answer and its warnings.
func ask(
	ctx context.Context, config *rest.Config, f form, r *v1alpha1.AuthTokenRequest, options metav1.CreateOptions,
) (*v1alpha1.AuthTokenRequest, []string, error) {
	return askFrom(ctx, config, f, "default", r, options)
}

// askFrom is ask from another namespace.
func askFrom(
	ctx context.Context, config *rest.Config, f form, namespace string, r *v1alpha1.AuthTokenRequest, options metav1.CreateOptions,
) (*v1alpha1.AuthTokenRequest, []string, error) {
	var warnings warningList
	config = rest.CopyConfig(config)
	config.WarningHandler = &warnings
	config.GroupVersion = &v1alpha1.SchemeGroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.APIPath = "/apis"
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, nil, err
	}
	body := r.DeepCopy()
	body.TypeMeta = f.kind
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, nil, err
	}
	answered := client.Post().AbsPath(f.path(namespace, r.Spec.TargetClusterProfile.Name)).
		VersionedParams(&options, scheme.ParameterCodec).
		SetHeader("Content-Type", "application/json").Body(encoded).Do(ctx)
	if err := answered.Error(); err != nil {
		return nil, warnings, err
	}
	raw, err := answered.Raw()
	if err != nil {
		return nil, warnings, err
	}
	answer := &v1alpha1.AuthTokenRequest{}
	if err := json.Unmarshal(raw, answer); err != nil {
		return nil, warnings, err
	}
	remember(answer.Status.Token)
	return answer, warnings, nil
}

// mintFor is ask for a request that must succeed.
func mintFor(t *testing.T, config *rest.Config, r *v1alpha1.AuthTokenRequest) *v1alpha1.AuthTokenRequest {
	t.Helper()
	answer, _, err := ask(t.Context(), config, forms[0], r, metav1.CreateOptions{})
	require.NoError(t, err)
	return answer
}

type warningList []string

func (w *warningList) HandleWarningHeader(_ int, _ string, text string) { *w = append(*w, text) }

// withToken returns a client config for cluster with a token and nothing else.
func withToken(cluster *testenv.Cluster, token string) *rest.Config {
	config := rest.AnonymousClientConfig(cluster.RESTConfig())
	config.BearerToken = token
	config.QPS = -1
	return config
}

// fromKubeconfig returns the client config that the kubeconfig in an answer stands for.
func fromKubeconfig(t *testing.T, answer *v1alpha1.AuthTokenRequest) *rest.Config {
	t.Helper()
	return testenv.Must[*rest.Config](t)(clientcmd.RESTConfigFromKubeConfig(answer.Status.Kubeconfig))
}

// objects lists every object of a cluster as "resource namespace/name uid resourceVersion",
// but for those that change by themselves.
func objects(t *testing.T, cluster *testenv.Cluster) []string {
	t.Helper()
	config := cluster.RESTConfig()
	config.QPS = -1
	found := testenv.Must[*objectLister](t)(newObjectLister(config))
	return testenv.Must[[]string](t)(found.list(t.Context()))
}

type objectLister struct {
	config *rest.Config
	kube   kubernetes.Interface
}

func newObjectLister(config *rest.Config) (*objectLister, error) {
	client, err := kubernetes.NewForConfig(config)
	return &objectLister{config, client}, err
}

func (l *objectLister) list(ctx context.Context) ([]string, error) {
	resources, err := discovery.ServerPreferredResources(l.kube.Discovery())
	if err != nil {
		return nil, err
	}
	restless := sets.New("leases", "events", "componentstatuses")
	var all []string
	for _, list := range resources {
		for _, resource := range list.APIResources {
			if restless.Has(resource.Name) || !sets.New([]string(resource.Verbs)...).Has("list") {
				continue
			}
			prefix := "/apis/" + list.GroupVersion
			if list.GroupVersion == "v1" {
				prefix = "/api/v1"
			}
			raw, err := l.kube.CoreV1().RESTClient().Get().AbsPath(prefix, resource.Name).DoRaw(ctx)
			if err != nil {
				return nil, fmt.Errorf("listing %s: %w", resource.Name, err)
			}
			var items metav1.PartialObjectMetadataList
			if err := json.Unmarshal(raw, &items); err != nil {
				return nil, err
			}
			for _, item := range items.Items {
				all = append(all, fmt.Sprintf("%s %s/%s %s %s", resource.Name, item.Namespace, item.Name, item.UID, item.ResourceVersion))
			}
		}
	}
	sort.Strings(all)
	return all, nil
}
