// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/yaml"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// mintTimeout bounds one request to the hub. The API server itself gives a request up after 34 s.
	mintTimeout = 40 * time.Second
	// bodyLogLevel is the first level at which client-go logs the bodies of answers.
	bodyLogLevel = 8

	// ProviderName is the name of the access provider in the status of ClusterProfiles.
	ProviderName = "clusterpass"
	// ExecExtension is the extension of an access provider's cluster that client-go hands to the
	// plugin: here, a Request.
	ExecExtension = "client.authentication.k8s.io/exec"
)

// HubConfig returns the configuration of the client for the hub: the kubeconfig files in
// kubeconfig, several as in $KUBECONFIG, or without any those that kubectl would use, or that of
// the pod that this runs in; and of them the named context, or the current one.
func HubConfig(kubeconfig, context string) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	if files := filepath.SplitList(kubeconfig); len(files) > 1 {
		rules.Precedence = files
	} else {
		rules.ExplicitPath = kubeconfig
	}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: context})
}

// Hub mints tokens, and knows who its client is.
type Hub struct {
	client *rest.RESTClient
	// config is the configuration that the client was made of.
	config *rest.Config
	// id is a hash of which hub it is.
	id string
}

// NewHub returns a client for the hub that config leads to.
func NewHub(config *rest.Config) (*Hub, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clusterpassv1alpha1.AddToScheme(scheme), authenticationv1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	id, err := hubID(config)
	if err != nil {
		return nil, fmt.Errorf("hub %s: %w", config.Host, err)
	}
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return boundedTransport{next} })
	config.APIPath = "/apis"
	// Our own group is served in every mode, whoever serves multicluster.x-k8s.io.
	config.GroupVersion = &clusterpassv1alpha1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.ContentType = runtime.ContentTypeJSON
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("hub %s: %w", config.Host, err)
	}
	return &Hub{client: client, config: config, id: id}, nil
}

// Mint has the hub answer r. The status returned holds a token, when it expires and is to be
// replaced, and how to reach the cluster. Errors say which hub and which cluster, and never hold a
// token.
func (h *Hub) Mint(ctx context.Context, r Request) (*v1alpha1.AuthTokenRequestStatus, error) {
	r, err := r.complete()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(quiet(ctx), mintTimeout)
	defer cancel()
	result := h.client.Post().Namespace(r.Namespace).Resource("authtokenrequests").Body(&v1alpha1.AuthTokenRequest{
		// Nothing is stored under the name: it is what refusals call the request.
		ObjectMeta: metav1.ObjectMeta{Name: r.TargetClusterProfile.Name, Annotations: r.Annotations},
		Spec:       r.AuthTokenRequestSpec,
	}).Do(ctx)
	if err := result.Error(); err != nil {
		return nil, fmt.Errorf("asking hub %s for a token of cluster %s: %w", h.config.Host, r.Cluster(), err)
	}
	answer := &v1alpha1.AuthTokenRequest{}
	if err := result.Into(answer); err != nil {
		// The decoder's words could hold a part of the token.
		return nil, fmt.Errorf("hub %s answered for cluster %s with something other than an AuthTokenRequest", h.config.Host, r.Cluster())
	}
	status := &answer.Status
	if status.Token == "" || status.ExpirationTimestamp == nil || status.RefreshAfter == nil || status.Cluster == nil {
		return nil, fmt.Errorf("hub %s answered for cluster %s without a token", h.config.Host, r.Cluster())
	}
	return status, nil
}

// quiet returns ctx with no logger where client-go would log the token with the rest of the answer.
func quiet(ctx context.Context) context.Context {
	if klog.FromContext(ctx).V(bodyLogLevel).Enabled() {
		return klog.NewContext(ctx, klog.New(nil))
	}
	return ctx
}

// refused returns whether the hub has decided against a request. All else may pass: it could not be
// reached, or it, or the member cluster behind it, is not well.
func refused(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	code := status.Status().Code
	return code < http.StatusInternalServerError && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout
}

// hash returns the hexadecimal SHA-256 of v's JSON.
func hash(v any) (string, error) {
	encoded, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:]), nil
}

// Request says which token is wanted, as an AuthTokenRequest does.
type Request struct {
	// Namespace of the hub that the request is made in: its grant is recorded there. Empty: that of
	// the ClusterProfile.
	Namespace string `json:"requestNamespace,omitempty"`

	v1alpha1.AuthTokenRequestSpec `json:",inline"`

	// Annotations of the request, for admission policies of the hub and its audit log. They are the
	// requester's to say: an access provider cannot.
	Annotations map[string]string `json:"-"`
}

// ParseRequest reads a Request from the extension of an access provider. Fields that it does not
// know are an error, since leaving out what was asked for would be a surprise.
func ParseRequest(extension []byte) (Request, error) {
	var r Request
	if err := yaml.UnmarshalStrict(extension, &r); err != nil {
		return Request{}, fmt.Errorf("extension %s of the access provider: %w", ExecExtension, err)
	}
	return r, nil
}

// Cluster returns the namespace and the name of the ClusterProfile.
func (r Request) Cluster() types.NamespacedName {
	return types.NamespacedName{Namespace: r.TargetClusterProfile.Namespace, Name: r.TargetClusterProfile.Name}
}

// complete returns r with its defaults, or what it lacks.
func (r Request) complete() (Request, error) {
	target := &r.TargetClusterProfile
	target.Namespace = cmp.Or(target.Namespace, r.Namespace)
	r.Namespace = cmp.Or(r.Namespace, target.Namespace)
	r.ServiceAccountNamespace = cmp.Or(r.ServiceAccountNamespace, metav1.NamespaceDefault)
	switch {
	case target.Name == "" || target.Namespace == "":
		return r, errors.New("the request does not say which ClusterProfile: targetClusterProfile needs a name and a namespace")
	case r.ServiceAccountName == "":
		return r, fmt.Errorf("the request for cluster %s names no ServiceAccount", r.Cluster())
	}
	return r, nil
}
