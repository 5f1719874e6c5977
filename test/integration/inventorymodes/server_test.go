// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/rest"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned/scheme"
	"clusterpass.dev/test/testenv"
)

const (
	serverName    = "clusterpass-apiserver"
	crdsCheck     = "clusterpass-inventory-crds"
	profilesCheck = "clusterpass-external-profiles"

	// served and external are the modes of the server, as --inventory has them.
	served   = "Served"
	external = "External"
)

// server is clusterpass-apiserver on the shared hub for one test.
type server struct {
	*testenv.Server
	direct *rest.Config
	port   int32
}

// startServer runs the server in a mode, be it ready or not, and registers nothing. The hub's
// Service leads to it as in a deployment: only while it is ready.
func startServer(t *testing.T, mode string) *server {
	t.Helper()
	s := newServer(t, mode)
	s.start(t)
	return s
}

// newServer is startServer up to the start: the server's RBAC is there.
func newServer(t *testing.T, mode string) *server {
	t.Helper()
	port := testenv.Must[[]int](t)(testenv.FreePorts(1))[0]
	s := &server{port: int32(port)}
	s.Server = testenv.Must[*testenv.Server](t)(testenv.NewServer(testenv.ServerConfig{
		Hub: hub, Dir: t.TempDir(), Port: port, ReadyPath: "/livez", Args: []string{"--inventory=" + mode},
	}))
	s.direct = testenv.Must[*rest.Config](t)(s.DirectConfig("prober", "system:masters"))
	require.NoError(t, s.ApplyRBAC(t.Context()))
	return s
}

func (s *server) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.WaitTimeout)
	defer cancel()
	t.Cleanup(s.Stop)
	require.NoError(t, s.StartUnregistered(ctx))
	s.keepService(t)
}

// keepService does what kubelet and the hub's controllers do for a Pod: while it is not ready, its
// Service has no endpoints.
func (s *server) keepService(t *testing.T) {
	t.Helper()
	client := hub.Kube(t).CoreV1().Services(testenv.SystemNamespace)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		var last corev1.ServiceType
		_ = wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
			spec := corev1ac.ServiceSpec().WithType(corev1.ServiceTypeClusterIP)
			if s.check(ctx, "") == nil {
				spec = corev1ac.ServiceSpec().WithType(corev1.ServiceTypeExternalName).WithExternalName("localhost")
			}
			if *spec.Type == last {
				return false, nil
			}
			spec.WithPorts(corev1ac.ServicePort().WithName("https").WithPort(s.port))
			_, err := client.Apply(ctx, corev1ac.Service(serverName, testenv.SystemNamespace).WithSpec(spec),
				metav1.ApplyOptions{FieldManager: "kubelet", Force: true})
			if err == nil {
				last = *spec.Type
			}
			return false, nil // a hub that is being restarted answers later
		})
	}()
}

// check returns nil while one check of readiness passes, or all if name is empty, else what the
// server says of it.
func (s *server) check(ctx context.Context, name string) error {
	path := strings.TrimSuffix("/readyz/"+name, "/")
	status, body, err := get(ctx, s.direct, path, "*/*")
	if err == nil && status != http.StatusOK {
		err = errors.New(string(body))
	}
	return err
}

// expectReady waits until the server is ready.
func (s *server) expectReady(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error { return s.check(ctx, "") })
}

// expectNotReady waits until a check fails with all of these words, and returns all that it says.
func (s *server) expectNotReady(t *testing.T, name string, words ...string) string {
	t.Helper()
	var said string
	testenv.Eventually(t, func(ctx context.Context) error {
		err := s.check(ctx, name)
		if err == nil {
			return fmt.Errorf("%s passes", name)
		}
		said = err.Error()
		for _, word := range words {
			if !strings.Contains(said, word) {
				return fmt.Errorf("no %q in: %s", word, said)
			}
		}
		return nil
	})
	require.Error(t, s.check(t.Context(), ""), "the server is ready although %s fails", name)
	return said
}

// log returns what the server has logged.
func (s *server) log(t *testing.T) string {
	t.Helper()
	return string(testenv.Must[[]byte](t)(os.ReadFile(s.Log())))
}

// register applies the APIService of each group-version as an installer does, and waits until the
// hub forwards.
func (s *server) register(t *testing.T, gvs ...schema.GroupVersion) {
	t.Helper()
	for _, gv := range gvs {
		s.applyAPIService(t, gv, "apply")
	}
	for _, gv := range gvs {
		testenv.Eventually(t, func(ctx context.Context) error {
			service, available, err := apiService(ctx, gv)
			if err == nil && !available {
				err = fmt.Errorf("%s is not available: %v", service.Name, service.Status.Conditions)
			}
			return err
		})
	}
}

// applyAPIService has kubectl apply, or replace, an APIService as artifacts/deploy has it, and
// removes it after the test.
func (s *server) applyAPIService(t *testing.T, gv schema.GroupVersion, verb string) {
	t.Helper()
	name := gv.Version + "." + gv.Group
	testenv.MustKubectl(t, hub.Kubeconfig(), s.apiService(t, gv), verb, "-f", "-")
	t.Cleanup(func() { deleteAPIService(context.WithoutCancel(t.Context()), t, name) })
}

func (s *server) apiService(t *testing.T, gv schema.GroupVersion) string {
	t.Helper()
	host := testenv.Must[*url.URL](t)(url.Parse(s.direct.Host))
	require.Equal(t, strconv.Itoa(int(s.port)), host.Port())
	return fmt.Sprintf(`{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
"metadata": {"name": "%[2]s.%[1]s"},
"spec": {"group": "%[1]s", "version": "%[2]s", "groupPriorityMinimum": 1000, "versionPriority": 100, "caBundle": "%[3]s",
  "service": {"namespace": "%[4]s", "name": "%[5]s", "port": %[6]d}}}`,
		gv.Group, gv.Version, base64.StdEncoding.EncodeToString(s.direct.CAData), testenv.SystemNamespace, serverName, s.port)
}

func deleteAPIService(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	client := testenv.Must[aggregator.Interface](t)(aggregator.NewForConfig(hub.RESTConfig()))
	if err := client.ApiregistrationV1().APIServices().Delete(ctx, name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
		assert.NoError(t, err)
	}
}

// request asks for a token of account with the role view on the ClusterProfile named, both in
// namespace default.
func request(profile, account string) *v1alpha1.AuthTokenRequest {
	return &v1alpha1.AuthTokenRequest{
		TypeMeta: metav1.TypeMeta{APIVersion: clusterpassv1alpha1.SchemeGroupVersion.String(), Kind: "AuthTokenRequest"},
		Spec: v1alpha1.AuthTokenRequestSpec{
			TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: profile},
			ServiceAccountName:      account,
			ServiceAccountNamespace: "default",
			ClusterRoles:            []v1alpha1.ClusterRole{{Name: "view"}},
		},
	}
}

// ask sends r to the hub as authtokenrequests.clusterpass.dev, the form that both modes have.
func ask(ctx context.Context, config *rest.Config, r *v1alpha1.AuthTokenRequest) (*v1alpha1.AuthTokenRequest, error) {
	config = rest.CopyConfig(config)
	config.APIPath, config.GroupVersion = "/apis", &clusterpassv1alpha1.SchemeGroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	result := client.Post().Namespace("default").Resource("authtokenrequests").
		SetHeader("Content-Type", "application/json").Body(body).Do(ctx)
	if err := result.Error(); err != nil {
		return nil, err
	}
	raw, err := result.Raw()
	if err != nil {
		return nil, err
	}
	answer := &v1alpha1.AuthTokenRequest{}
	return answer, json.Unmarshal(raw, answer)
}

// expectRefused waits until r of the hub's admin is refused for a reason.
func expectRefused(t *testing.T, r *v1alpha1.AuthTokenRequest, reason metav1.StatusReason) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := ask(ctx, hub.RESTConfig(), r)
		if apierrors.ReasonForError(err) == reason {
			return nil
		}
		return fmt.Errorf("want %s: %w", reason, err)
	})
}

// expectToken waits until r is answered with a token that the member takes for r's account.
func expectToken(t *testing.T, config *rest.Config, r *v1alpha1.AuthTokenRequest) {
	t.Helper()
	var answer *v1alpha1.AuthTokenRequest
	testenv.Eventually(t, func(ctx context.Context) (err error) {
		answer, err = ask(ctx, config, r)
		return err
	})
	asAccount := rest.AnonymousClientConfig(bravelion.RESTConfig())
	asAccount.BearerToken = answer.Status.Token
	testenv.List(t, testenv.Kube(t, asAccount).CoreV1().Pods("default"), metav1.ListOptions{})
}
