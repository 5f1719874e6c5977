// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package profiles

import (
	"cmp"
	"context"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	apisv1alpha1 "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
)

// versionTimeout bounds how long the first call waits for the version that the hub serves.
const versionTimeout = 10 * time.Second

// clientset is upstream's clientset, whose types are those of v1alpha1, for a hub that may serve
// v1alpha2 alone.
type clientset struct {
	inventory.Interface
	apis *apis
}

// apis are the clients of the embedded interface, in v1alpha1, and later ones in v1alpha2.
type apis struct {
	apisv1alpha1.ApisV1alpha1Interface
	later    *apisv1alpha1.ApisV1alpha1Client
	versions *Versions
}

// NewClientset returns upstream's clientset for the hub at config. Its requests are in the version
// that versions find, and in v1alpha1 if they find none. In v1alpha2, objects are converted on
// their way. Patches are sent as they are, so they must be valid in both versions.
func NewClientset(config *rest.Config, versions *Versions) (inventory.Interface, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = cmp.Or(config.UserAgent, rest.DefaultKubernetesUserAgent())
	config.Wrap(versions.Wrap)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	earlier, err := inventory.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, err
	}
	config.APIPath, config.GroupVersion = "/apis", &v1alpha2.SchemeGroupVersion
	base, path, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, err
	}
	limiter := earlier.ApisV1alpha1().RESTClient().GetRateLimiter()
	later, err := rest.NewRESTClient(base, path, rest.ClientContentConfig{
		AcceptContentTypes: runtime.ContentTypeJSON,
		ContentType:        runtime.ContentTypeJSON,
		// Upstream's clients encode their options in it.
		GroupVersion: inventoryv1alpha1.GroupVersion,
		Negotiator:   runtime.NewClientNegotiator(converting{serializer.NewCodecFactory(bothVersions())}, v1alpha2.SchemeGroupVersion),
	}, limiter, client)
	if err != nil {
		return nil, err
	}
	return &clientset{earlier, &apis{earlier.ApisV1alpha1(), apisv1alpha1.New(later), versions}}, nil
}

// converting decodes objects as v1alpha1, whatever version they have.
type converting struct{ serializer.CodecFactory }

// DecoderToVersion implements runtime.NegotiatedSerializer.
func (c converting) DecoderToVersion(decoder runtime.Decoder, _ runtime.GroupVersioner) runtime.Decoder {
	return c.CodecFactory.DecoderToVersion(decoder, schema.GroupVersions{inventoryv1alpha1.GroupVersion})
}

func bothVersions() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(inventoryv1alpha1.AddToScheme(scheme))
	utilruntime.Must(v1alpha2.AddToScheme(scheme))
	return scheme
}

// ApisV1alpha1 implements inventory.Interface.
func (c *clientset) ApisV1alpha1() apisv1alpha1.ApisV1alpha1Interface { return c.apis }

// ClusterProfiles implements apisv1alpha1.ApisV1alpha1Interface.
func (a *apis) ClusterProfiles(namespace string) apisv1alpha1.ClusterProfileInterface {
	return a.clientFor(ClusterProfiles).ClusterProfiles(namespace)
}

// PlacementDecisions implements apisv1alpha1.ApisV1alpha1Interface.
func (a *apis) PlacementDecisions(namespace string) apisv1alpha1.PlacementDecisionInterface {
	return a.clientFor(PlacementDecisions).PlacementDecisions(namespace)
}

// clientFor returns the client for a resource in the version to use. Where that is unknown, the
// answer to a request in v1alpha1 says why.
func (a *apis) clientFor(resource string) apisv1alpha1.ApisV1alpha1Interface {
	ctx, cancel := context.WithTimeout(context.Background(), versionTimeout) //nolint:forbidigo // upstream's interface has no context
	defer cancel()
	found, err := a.versions.Resource(ctx, resource)
	if err == nil && found.Version == v1alpha2.SchemeGroupVersion.Version {
		return a.later
	}
	return a.ApisV1alpha1Interface
}
