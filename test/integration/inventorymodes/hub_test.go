// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/rest"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"clusterpass.dev/test/testenv"
)

var (
	multicluster = schema.GroupVersion{Group: "multicluster.x-k8s.io", Version: "v1alpha1"}
	clusterpass  = schema.GroupVersion{Group: "clusterpass.dev", Version: "v1alpha1"}
	// mcsBeta is the other version of the Multi-Cluster Services API, which nobody else has.
	mcsBeta = multicluster.Group + "/v1beta1"
)

// What each side serves in multicluster.x-k8s.io/v1alpha1.
var (
	ours     = []string{"authtokenrequests", "clusterprofiles", "placementdecisions"}
	profiles = []string{"clusterprofiles", "placementdecisions"}
	services = []string{"serviceexports", "serviceimports"}
	allCRDs  = slices.Concat(profiles, services)
)

// get asks for path at config's server and returns the answer whatever its status.
func get(ctx context.Context, config *rest.Config, path, accept string) (status int, body []byte, err error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path, nil)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Accept", accept)
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, err
}

// getJSON decodes what the hub answers to its admin, which must be 200.
func getJSON(ctx context.Context, path, accept string, into any) error {
	status, body, err := get(ctx, hub.RESTConfig(), path, accept)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("GET %s: %d %s", path, status, body)
	}
	return json.Unmarshal(body, into)
}

// expectDescribed waits until everything that the hub says of a group-version names exactly these
// resources: both forms of discovery, both versions of OpenAPI, however often they are asked, and
// kubectl explain.
func expectDescribed(t *testing.T, gv schema.GroupVersion, resources ...string) {
	t.Helper()
	want := sets.List(sets.New(resources...))
	testenv.Eventually(t, func(ctx context.Context) error {
		var all []error
		for form, ask := range map[string]func(context.Context, schema.GroupVersion) ([]string, error){
			"discovery": discovered, "aggregated discovery": aggregated, "OpenAPI v2": inOpenAPIV2, "OpenAPI v3": inOpenAPIV3,
		} {
			got, err := ask(ctx, gv)
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				all = append(all, fmt.Errorf("%s of %s: %w (-want +got):\n%s", form, gv, err, diff))
			}
		}
		return errors.Join(all...)
	})
	for _, resource := range want {
		out := testenv.MustKubectl(t, hub.Kubeconfig(), "", "explain", "--api-version="+gv.String(), resource)
		require.Contains(t, out, "DESCRIPTION:", "explain of %s", resource)
		require.NotContains(t, out, "<empty>", "explain of %s", resource)
	}
	require.NoError(t, openAPIIsWhole(t.Context()))
}

func discovered(ctx context.Context, gv schema.GroupVersion) ([]string, error) {
	var list metav1.APIResourceList
	if err := getJSON(ctx, "/apis/"+gv.String(), "application/json", &list); err != nil {
		return nil, err
	}
	found := sets.New[string]()
	for _, resource := range list.APIResources {
		if !strings.Contains(resource.Name, "/") {
			found.Insert(resource.Name)
		}
	}
	return sets.List(found), nil
}

func aggregated(ctx context.Context, gv schema.GroupVersion) ([]string, error) {
	var list apidiscoveryv2.APIGroupDiscoveryList
	if err := getJSON(ctx, "/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", &list); err != nil {
		return nil, err
	}
	found := sets.New[string]()
	for _, group := range list.Items {
		if group.Name != gv.Group {
			continue
		}
		for _, version := range group.Versions {
			if version.Version != gv.Version {
				continue
			}
			if version.Freshness != apidiscoveryv2.DiscoveryFreshnessCurrent {
				return nil, fmt.Errorf("it is %s", version.Freshness)
			}
			for _, resource := range version.Resources {
				found.Insert(resource.Resource)
			}
		}
	}
	return sets.List(found), nil
}

// document is what an OpenAPI document, of either version, is asked for here.
type document struct {
	Paths map[string]any `json:"paths"`
}

// resources returns the resources that the document has paths for.
func (d document) resources(gv schema.GroupVersion) []string {
	found := sets.New[string]()
	for path := range maps.Keys(d.Paths) {
		resource, ok := strings.CutPrefix(path, "/apis/"+gv.String()+"/namespaces/{namespace}/")
		if ok && !strings.Contains(resource, "/") {
			found.Insert(resource)
		}
	}
	return sets.List(found)
}

func inOpenAPIV2(ctx context.Context, gv schema.GroupVersion) ([]string, error) {
	var d document
	err := getJSON(ctx, "/openapi/v2", "application/json", &d)
	return d.resources(gv), err
}

// inOpenAPIV3 asks ten times: where two servers have the document, the hub throws dice.
func inOpenAPIV3(ctx context.Context, gv schema.GroupVersion) ([]string, error) {
	var resources []string
	for i := range 10 {
		var d document
		if err := getJSON(ctx, "/openapi/v3/apis/"+gv.String(), "application/json", &d); err != nil {
			return nil, err
		}
		if i > 0 && !slices.Equal(resources, d.resources(gv)) {
			return nil, fmt.Errorf("once it has %v and then %v", resources, d.resources(gv))
		}
		resources = d.resources(gv)
	}
	return resources, nil
}

// openAPIIsWhole returns nil where the hub describes its own API, whatever becomes of ours.
func openAPIIsWhole(ctx context.Context) error {
	var v2, index, apps document
	for path, into := range map[string]*document{"/openapi/v2": &v2, "/openapi/v3": &index, "/openapi/v3/apis/apps/v1": &apps} {
		if err := getJSON(ctx, path, "application/json", into); err != nil {
			return err
		}
	}
	const deployments = "/apis/apps/v1/namespaces/{namespace}/deployments"
	if v2.Paths[deployments] == nil || index.Paths["apis/apps/v1"] == nil || apps.Paths[deployments] == nil {
		return errors.New("OpenAPI is without Deployments")
	}
	return nil
}

// expectUnavailable waits until the hub answers 503 for path.
func expectUnavailable(t *testing.T, path string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		status, body, err := get(ctx, hub.RESTConfig(), path, "application/json")
		if err == nil && status != http.StatusServiceUnavailable {
			err = fmt.Errorf("GET %s: %d %s", path, status, body)
		}
		return err
	})
}

// apiService returns the hub's APIService of a group-version and whether it is available.
func apiService(ctx context.Context, gv schema.GroupVersion) (service *apiregistrationv1.APIService, available bool, err error) {
	client, err := aggregator.NewForConfig(hub.RESTConfig())
	if err != nil {
		return nil, false, err
	}
	service, err = client.ApiregistrationV1().APIServices().Get(ctx, gv.Version+"."+gv.Group, metav1.GetOptions{})
	if err != nil {
		return nil, false, err
	}
	available = slices.ContainsFunc(service.Status.Conditions, func(c apiregistrationv1.APIServiceCondition) bool {
		return c.Type == apiregistrationv1.Available && c.Status == apiregistrationv1.ConditionTrue
	})
	return service, available, nil
}

// leaveHubClean waits, after the test, until the hub has forgotten both groups. It is called before
// all else.
func leaveHubClean(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		testenv.EventuallyIn(context.WithoutCancel(t.Context()), t, testenv.WaitTimeout, func(ctx context.Context) error {
			for _, group := range []string{multicluster.Group, clusterpass.Group} {
				status, body, err := get(ctx, hub.RESTConfig(), "/apis/"+group, "application/json")
				if err != nil || status != http.StatusNotFound {
					return fmt.Errorf("group %s: %d %s: %w", group, status, body, err)
				}
			}
			return nil
		})
	})
}

// restartHub restarts the hub's kube-apiserver, which then builds what it says of itself from
// nothing.
func restartHub(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.WaitTimeout)
	defer cancel()
	require.NoError(t, hub.Restart(ctx, "kube-apiserver"))
}
