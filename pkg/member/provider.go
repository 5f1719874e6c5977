// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
)

// execExtension is the extension of an access provider's entry that KEP-5339 reserves for the
// parameters of the provider.
const execExtension = "client.authentication.k8s.io/exec"

// provider is one way to find the access to clusters of profiles.
type provider interface {
	// find returns the source of access for entry, which is profile's, or an error that says why
	// the entry may not be used. It reads Secrets with get. No error has content of a Secret.
	find(profile *inventoryv1alpha1.ClusterProfile, entry *inventoryv1alpha1.AccessProvider, get lookupSecret) (*source, error)
}

// lookupSecret returns a Secret, which the caller must not change, from the cache or from the hub:
// providers do not know which. Its error satisfies apierrors.IsNotFound if there is none.
type lookupSecret func(namespace, name string) (*corev1.Secret, error)

// source is where access to a cluster comes from.
type source struct {
	// key changes when the result of open would change.
	key accessKey
	// leaving is nil unless the member is being removed from the hub.
	leaving *Leaving
	// open returns the access, or an error that says why it may not be used.
	open func() (*access, error)
}

// access is how to reach a cluster.
type access struct {
	// config has the server, its CA, our credential, and always a Proxy function: without one,
	// client-go would share a transport between members.
	config *rest.Config
	// cluster is what other clients need to reach the cluster with their own credentials: server,
	// CA, server name and proxy, and nothing else.
	cluster clientcmdv1.Cluster
	// plugin says that client-go runs a credential plugin.
	plugin bool
	// several says that the profile's status chooses among several clusters, or that another cluster
	// may take the place of this one without any change of the profile.
	several bool
	// joined is the UID of the cluster that the access was made for; empty if that is not known.
	joined types.UID
}

// accessKey identifies access data. It is a digest, because rest.Configs hold functions and cannot
// be compared.
type accessKey [sha256.Size]byte

func newAccessKey(parts ...[]byte) accessKey {
	digest := sha256.New()
	for _, part := range parts {
		digest.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		digest.Write(part)
	}
	return accessKey(digest.Sum(nil))
}

// namedProvider is a provider with the name that its entries have.
type namedProvider struct {
	provider
	name string
}

// newProviders returns the providers of a valid configuration, in order of preference. Without
// clusters, those of Karmada give no access.
func newProviders(config *configv1alpha1.AccessConfiguration, clusters KarmadaClusters) []namedProvider {
	providers := make([]namedProvider, 0, len(config.Providers))
	for _, configured := range config.Providers {
		named := namedProvider{name: configured.Name}
		switch {
		case configured.Exec != nil:
			named.provider = newExecProvider(configured.Name, configured.Exec)
		case configured.KarmadaSecret != nil:
			named.provider = &karmadaProvider{configured.KarmadaSecret, clusters}
		case configured.ClusterAPISecret != nil:
			named.provider = &clusterAPIProvider{configured.ClusterAPISecret}
		default:
			named.provider = &secretProvider{namespaces: configured.KubeconfigSecret.Namespaces}
		}
		providers = append(providers, named)
	}
	return providers
}

// readsSecrets returns whether a provider reads kubeconfigs from Secrets.
func (p namedProvider) readsSecrets() bool {
	_, reads := p.provider.(*secretProvider)
	return reads
}

// choose returns the first provider, in the order of the configuration, that profile has an entry
// for, and that entry, which the caller must not change. As in upstream's library, an entry in
// accessProviders takes precedence over one in the deprecated credentialProviders.
func choose(
	providers []namedProvider, profile *inventoryv1alpha1.ClusterProfile,
) (namedProvider, *inventoryv1alpha1.AccessProvider, error) {
	for _, provider := range providers {
		for _, entries := range [][]inventoryv1alpha1.AccessProvider{profile.Status.AccessProviders, profile.Status.CredentialProviders} {
			for i := range entries {
				if entries[i].Name == provider.name {
					return provider, &entries[i], nil
				}
			}
		}
	}
	var offered, known []string
	for _, entry := range profile.Status.AccessProviders {
		offered = append(offered, entry.Name)
	}
	for _, provider := range providers {
		known = append(known, provider.name)
	}
	return namedProvider{}, nil, fmt.Errorf("it has no access provider that clusterpass is configured for: "+
		"status.accessProviders has %s, clusterpass knows %s", cmp.Or(strings.Join(offered, ", "), "none"), strings.Join(known, ", "))
}

// setProxy sets the proxy of config; if proxyURL is empty, the one that the environment names.
func setProxy(config *rest.Config, proxyURL string) error {
	if proxyURL == "" {
		config.Proxy = http.ProxyFromEnvironment
		return nil
	}
	proxy, err := endpoint.ParseProxy(proxyURL)
	if err != nil {
		return err
	}
	config.Proxy = http.ProxyURL(proxy)
	return nil
}

// DefaultConfig returns the configuration that is used without a file: it reads member kubeconfigs
// from Secrets of the namespace clusterpass-system, and runs no plugins.
func DefaultConfig() *configv1alpha1.AccessConfiguration {
	config := &configv1alpha1.AccessConfiguration{}
	configScheme().Default(config)
	return config
}

// LoadFile reads an AccessConfiguration in YAML or JSON. The file has to have apiVersion and kind;
// an unknown or repeated field is an error. The result has defaults and is valid. The error for an
// invalid file names the path of every wrong field.
func LoadFile(path string) (*configv1alpha1.AccessConfiguration, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	scheme := configScheme()
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	object, _, err := decoder.Decode(data, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	config, ok := object.(*configv1alpha1.AccessConfiguration)
	if !ok {
		return nil, fmt.Errorf("%s: it is a %s, not an AccessConfiguration", path, object.GetObjectKind().GroupVersionKind())
	}
	scheme.Default(config)
	if err := Validate(config).ToAggregate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return config, nil
}

func configScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(configv1alpha1.AddToScheme(scheme))
	return scheme
}
