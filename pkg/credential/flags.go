// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// Names of the flags that make up a Request.
const (
	flagRequestNamespace        = "request-namespace"
	flagClusterUID              = "cluster-uid"
	flagServiceAccount          = "service-account"
	flagServiceAccountNamespace = "service-account-namespace"
	flagClusterRole             = "cluster-role"
	flagRole                    = "role"
	flagAudience                = "audience"
	flagExpirationSeconds       = "expiration-seconds"
	flagAnnotation              = "annotation"
)

// Names of the flags that make up Options.
const (
	flagCacheDir = "cache-dir"
	flagMaxAge   = "max-age"
)

// RequestFlags are the flags that say which token is wanted of a cluster.
type RequestFlags struct {
	flags *pflag.FlagSet

	requestNamespace, clusterUID            string
	serviceAccount, serviceAccountNamespace string
	clusterRoles, roles, audiences          []string
	annotations                             []string
	expirationSeconds                       int64
}

// AddFlags adds the flags to flags. Their defaults are empty: Apply changes nothing that no flag is
// given for.
func (f *RequestFlags) AddFlags(flags *pflag.FlagSet) {
	f.flags = flags
	flags.StringVar(&f.serviceAccount, flagServiceAccount, "",
		"ServiceAccount on the member cluster that the token is for; clusterpass creates it.")
	flags.StringVar(&f.serviceAccountNamespace, flagServiceAccountNamespace, "", "Namespace of the ServiceAccount on the member cluster.")
	flags.StringSliceVar(&f.clusterRoles, flagClusterRole, nil,
		"ClusterRole of the member cluster that the ServiceAccount is bound to. May be repeated; empty for none.")
	flags.StringSliceVar(&f.roles, flagRole, nil,
		"Role of the member cluster that the ServiceAccount is bound to, as NAMESPACE/NAME. May be repeated.")
	flags.StringSliceVar(&f.audiences, flagAudience, nil,
		"Audience of the token; by default that of the member's API server. May be repeated.")
	flags.Int64Var(&f.expirationSeconds, flagExpirationSeconds, 0, fmt.Sprintf("Lifetime of a token in seconds, at least %d; by default %d.",
		v1alpha1.MinExpirationSeconds, v1alpha1.DefaultExpirationSeconds))
	// No list by commas: a value may have some.
	flags.StringArrayVar(&f.annotations, flagAnnotation, nil,
		"Annotation of the request, as KEY=VALUE, for the hub's admission policies and its audit log. May be repeated.")
	flags.StringVar(&f.requestNamespace, flagRequestNamespace, "",
		"Namespace of the hub for the request and its grant; by default that of the ClusterProfile.")
	flags.StringVar(&f.clusterUID, flagClusterUID, "",
		"UID that the ClusterProfile must have: a cluster replaced under its old name is then refused.")
}

// Apply puts into r what flags were given for, in place of what it says.
func (f *RequestFlags) Apply(r *Request) error {
	set := func(name string, to *string, value string) {
		if f.flags.Changed(name) {
			*to = value
		}
	}
	if err := f.checkForms(); err != nil {
		return err
	}
	set(flagRequestNamespace, &r.Namespace, f.requestNamespace)
	set(flagServiceAccount, &r.ServiceAccountName, f.serviceAccount)
	set(flagServiceAccountNamespace, &r.ServiceAccountNamespace, f.serviceAccountNamespace)
	set(flagClusterUID, (*string)(&r.TargetClusterProfile.UID), f.clusterUID)
	if f.flags.Changed(flagClusterRole) {
		r.ClusterRoles = nil
		for _, name := range f.clusterRoles {
			r.ClusterRoles = append(r.ClusterRoles, v1alpha1.ClusterRole{Name: name})
		}
	}
	if f.flags.Changed(flagRole) {
		r.Roles = nil
		for _, role := range f.roles {
			namespace, name, found := strings.Cut(role, "/")
			if !found || namespace == "" || name == "" {
				return fmt.Errorf("--%s %q is not NAMESPACE/NAME; for a ClusterRole, which has no namespace, use --%s", flagRole, role, flagClusterRole)
			}
			r.Roles = append(r.Roles, v1alpha1.Role{Namespace: namespace, Name: name})
		}
	}
	if f.flags.Changed(flagAudience) {
		r.Audiences = f.audiences
	}
	if f.flags.Changed(flagExpirationSeconds) {
		r.ExpirationSeconds = ptr.To(f.expirationSeconds)
	}
	return f.annotate(r)
}

// annotate puts the annotations into r that flags were given for.
func (f *RequestFlags) annotate(r *Request) error {
	for _, annotation := range f.annotations {
		key, value, found := strings.Cut(annotation, "=")
		if !found {
			return fmt.Errorf("--%s %q is not KEY=VALUE", flagAnnotation, annotation)
		}
		if problems := content.IsLabelKey(strings.ToLower(key)); len(problems) > 0 {
			return fmt.Errorf("--%s: the key %q is not valid: %s", flagAnnotation, key, strings.Join(problems, "; "))
		}
		if r.Annotations == nil {
			r.Annotations = map[string]string{}
		}
		r.Annotations[key] = value
	}
	return nil
}

// checkForms refuses a namespace in a flag that takes a name, with the flags to use in its place.
func (f *RequestFlags) checkForms() error {
	for _, flag := range []struct{ name, value string }{
		{flagServiceAccount, f.serviceAccount}, {flagServiceAccountNamespace, f.serviceAccountNamespace},
	} {
		if namespace, account, found := strings.Cut(flag.value, "/"); found {
			return fmt.Errorf("--%s %q is not a name: give the namespace by its flag, --%s=%s --%s=%s",
				flag.name, flag.value, flagServiceAccount, account, flagServiceAccountNamespace, namespace)
		}
	}
	for _, role := range f.clusterRoles {
		if strings.Contains(role, "/") {
			return fmt.Errorf("--%s %q is not the name of a ClusterRole, which has no namespace; for a Role use --%s=NAMESPACE/NAME",
				flagClusterRole, role, flagRole)
		}
	}
	return nil
}

// NamesRoles returns whether any flag for roles was given.
func (f *RequestFlags) NamesRoles() bool {
	return f.flags.Changed(flagClusterRole) || f.flags.Changed(flagRole)
}

// Args returns the flags that make up r, but for the ClusterProfile's namespace and name. Rules
// have none.
func (r Request) Args() []string {
	var args []string
	add := func(name, value string) { args = append(args, "--"+name+"="+value) }
	if r.Namespace != r.TargetClusterProfile.Namespace {
		add(flagRequestNamespace, r.Namespace)
	}
	if r.TargetClusterProfile.UID != "" {
		add(flagClusterUID, string(r.TargetClusterProfile.UID))
	}
	add(flagServiceAccount, r.ServiceAccountName)
	add(flagServiceAccountNamespace, r.ServiceAccountNamespace)
	for _, role := range r.ClusterRoles {
		add(flagClusterRole, role.Name)
	}
	if len(r.ClusterRoles) == 0 {
		add(flagClusterRole, "")
	}
	for _, role := range r.Roles {
		add(flagRole, role.Namespace+"/"+role.Name)
	}
	for _, audience := range r.Audiences {
		add(flagAudience, audience)
	}
	if r.ExpirationSeconds != nil {
		add(flagExpirationSeconds, strconv.FormatInt(*r.ExpirationSeconds, 10))
	}
	for _, key := range slices.Sorted(maps.Keys(r.Annotations)) {
		add(flagAnnotation, key+"="+r.Annotations[key])
	}
	return args
}

// AddFlags adds the flags that say how credentials are kept.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.CacheDir, flagCacheDir, "",
		"Folder that tokens are kept in; by default clusterpass/tokens in the user's folder for caches.")
	flags.DurationVar(&o.MaxAge, flagMaxAge, 0, "Maximum time for which a token is used; by default 80 % of its lifetime.")
}

// Args returns the flags that make up o, wherever they are used.
func (o *Options) Args() ([]string, error) {
	var args []string
	if o.CacheDir != "" {
		dir, err := filepath.Abs(o.CacheDir)
		if err != nil {
			return nil, err
		}
		args = append(args, "--"+flagCacheDir+"="+dir)
	}
	if o.MaxAge != 0 {
		args = append(args, "--"+flagMaxAge+"="+o.MaxAge.String())
	}
	return args, nil
}
