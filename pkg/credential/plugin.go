// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// Names of the flags that make up a Target.
const (
	flagProfile          = "profile"
	flagProfileNamespace = "profile-namespace"
)

// Target says which ClusterProfile the plugin is run for, where the access provider does not.
type Target struct {
	// Profile, if set, is the namespace and name of the ClusterProfile, with a slash between them. It
	// counts whatever the access provider says.
	Profile string
	// Namespace, if set, is where the ClusterProfiles are whose access providers are written by
	// others. Those say which one only by its name, or by the server and its authorities.
	Namespace string
}

// AddFlags adds the flags to flags.
func (t *Target) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&t.Profile, flagProfile, "",
		"ClusterProfile that the token is for, as NAMESPACE/NAME, whatever the client says.")
	flags.StringVar(&t.Namespace, flagProfileNamespace, "",
		"Namespace of ClusterProfiles whose access providers others have written: the name of the ClusterProfile is then "+
			"clusterName of the extension, or that of the one ClusterProfile with the client's server and certificate authorities.")
}

// Plugin is a plugin for access providers: upstream's credentialplugin.Provider.
type Plugin struct {
	// Source of the credentials.
	Source *Source
	// Override, where not nil, changes a request that was read from a profile.
	Override func(r *Request) error
	// Target says which ClusterProfile is meant.
	Target Target
}

// Name returns the name of the access provider that join writes. The plugin works for those of any
// name.
func (*Plugin) Name() string { return ProviderName }

// GetToken returns the credential that the profile's extension asks for, if it is one for the
// cluster that the client is about to connect to. A client that does not say which cluster that is
// gets one only if Target names the ClusterProfile.
func (p *Plugin) GetToken(
	ctx context.Context, in clientauthenticationv1.ExecCredential,
) (clientauthenticationv1.ExecCredentialStatus, error) {
	none := clientauthenticationv1.ExecCredentialStatus{}
	r, err := p.request(ctx, in.Spec.Cluster)
	if err != nil {
		return none, err
	}
	if p.Override != nil {
		if err := p.Override(&r); err != nil {
			return none, err
		}
	}
	if r.TargetClusterProfile.Name != "" {
		if r, err = r.WithAccount(ctx, p.Source); err != nil {
			return none, err
		}
	}
	c, err := p.Source.Get(ctx, r, in.Spec.Cluster)
	if err != nil {
		return none, err
	}
	return *c.ExecStatus(p.Source.clock.Now()), nil
}

// request returns what the extension of a cluster asks for, of the ClusterProfile that is meant.
func (p *Plugin) request(ctx context.Context, cluster *clientauthenticationv1.Cluster) (Request, error) {
	var config []byte
	switch {
	case cluster != nil && cluster.Server != "":
		config = cluster.Config.Raw
	case p.Target.Profile == "":
		return Request{}, fmt.Errorf("the client does not say which cluster it is about: "+
			"set provideClusterInfo: true where the plugin is configured, or name the ClusterProfile by --%s", flagProfile)
	}
	r, clusterName, err := p.Target.parse(config)
	if err != nil {
		return Request{}, err
	}
	target := &r.TargetClusterProfile
	switch {
	case p.Target.Profile != "":
		namespace, name, found := strings.Cut(p.Target.Profile, "/")
		if !found || namespace == "" || name == "" || strings.Contains(name, "/") {
			return Request{}, fmt.Errorf("--%s %q is not NAMESPACE/NAME", flagProfile, p.Target.Profile)
		}
		*target = v1alpha1.ClusterProfileReference{Namespace: namespace, Name: name}
	case clusterName != "":
		*target = v1alpha1.ClusterProfileReference{Namespace: p.Target.Namespace, Name: clusterName}
	case target.Name == "" && p.Target.Namespace != "":
		*target, err = p.Source.minter.FindProfile(ctx, p.Target.Namespace, cluster)
	}
	return r, err
}

// parse reads the extension of an access provider: a Request, or what others write for their own
// plugins. Of that it returns clusterName, if there is nothing else.
func (t *Target) parse(config []byte) (r Request, clusterName string, err error) {
	var theirs struct {
		ClusterName string `json:"clusterName"`
	}
	byName := yaml.UnmarshalStrict(config, &theirs) == nil && theirs.ClusterName != ""
	switch {
	case t.Profile == "" && t.Namespace == "" && len(config) == 0:
		return r, "", fmt.Errorf("the access provider of the ClusterProfile has no extension %s: name the ClusterProfile by --%s, "+
			"or have it found by --%s", ExecExtension, flagProfile, flagProfileNamespace)
	case t.Profile == "" && t.Namespace == "" && byName:
		return r, "", errors.New("the access provider says the name of the cluster alone: say the namespace of its ClusterProfile by --" +
			flagProfileNamespace)
	case byName:
		return r, theirs.ClusterName, nil
	case t.Profile != "" || t.Namespace != "":
		// Without any field of ours it is for another plugin.
		if yaml.Unmarshal(config, &r) == nil && apiequality.Semantic.DeepEqual(r, Request{}) {
			return r, "", nil
		}
	}
	r, err = ParseRequest(config)
	return r, "", err
}
