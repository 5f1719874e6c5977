// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"bytes"
	"fmt"
	"net/url"
	"reflect"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/bounds"
	registryvalidation "clusterpass.dev/pkg/registry/internal/validation"
	"clusterpass.dev/pkg/taints"
)

// The limits of upstream's CRD, in code points as JSON Schema counts.
const (
	maxPropertyName  = 253
	maxPropertyValue = 1024
)

func validateCreate(profile *inventoryv1alpha1.ClusterProfile) field.ErrorList {
	errs := validation.ValidateObjectMeta(&profile.ObjectMeta, true, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	errs = append(errs, validateTaints(profile)...)
	return append(errs, validateManager(profile)...)
}

func validateUpdate(profile, old *inventoryv1alpha1.ClusterProfile) field.ErrorList {
	errs := validateManager(profile)
	if !sameTaints(profile, old) {
		errs = append(errs, validateTaints(profile)...)
	}
	if profile.Spec.ClusterManager != old.Spec.ClusterManager {
		path := field.NewPath("spec", "clusterManager")
		errs = append(errs, field.Invalid(path, profile.Spec.ClusterManager.Name, "ClusterManager is immutable"))
	}
	return errs
}

// validateTaints is clusterpass's own: upstream has no taints. An update does not validate
// unchanged taints.
func validateTaints(profile *inventoryv1alpha1.ClusterProfile) field.ErrorList {
	annotation, tainted := profile.Annotations[clusterpassv1alpha1.AnnotationTaints]
	if !tainted {
		return nil
	}
	if _, err := taints.Parse(annotation); err != nil {
		path := field.NewPath("metadata", "annotations").Key(clusterpassv1alpha1.AnnotationTaints)
		return field.ErrorList{field.Invalid(path, annotation, err.Error())}
	}
	return nil
}

func sameTaints(profile, old *inventoryv1alpha1.ClusterProfile) bool {
	annotation, tainted := profile.Annotations[clusterpassv1alpha1.AnnotationTaints]
	before, was := old.Annotations[clusterpassv1alpha1.AnnotationTaints]
	return tainted == was && annotation == before
}

func validateManager(profile *inventoryv1alpha1.ClusterProfile) field.ErrorList {
	manager := profile.Spec.ClusterManager.Name
	if manager == "" {
		return field.ErrorList{field.Required(field.NewPath("spec", "clusterManager", "name"), "")}
	}
	label, ok := profile.Labels[inventoryv1alpha1.LabelClusterManagerKey]
	if !ok || label == manager {
		return nil
	}
	path := field.NewPath("metadata", "labels").Key(inventoryv1alpha1.LabelClusterManagerKey)
	return field.ErrorList{field.Invalid(path, label, fmt.Sprintf("must equal spec.clusterManager.name, which is %q, or be absent", manager))}
}

func validateStatus(status *inventoryv1alpha1.ClusterProfileStatus, path *field.Path) field.ErrorList {
	errs := registryvalidation.Conditions(status.Conditions, path.Child("conditions"))
	errs = append(errs, validateProperties(status.Properties, path.Child("properties"))...)
	errs = append(errs, validateProviders(status.CredentialProviders, path.Child("credentialProviders"))...)
	return append(errs, validateProviders(status.AccessProviders, path.Child("accessProviders"))...)
}

func validateProperties(properties []inventoryv1alpha1.Property, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i := range properties {
		if bounds.Enough(errs) {
			break
		}
		property, at := &properties[i], path.Index(i)
		errs = append(errs, registryvalidation.Key(property.Name, seen, at.Child("name"))...)
		errs = append(errs, registryvalidation.Length(property.Name, maxPropertyName, at.Child("name"))...)
		if property.Value == "" {
			errs = append(errs, field.Required(at.Child("value"), ""))
		}
		errs = append(errs, registryvalidation.Length(property.Value, maxPropertyValue, at.Child("value"))...)
	}
	return errs
}

func validateProviders(providers []inventoryv1alpha1.AccessProvider, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i := range providers {
		if bounds.Enough(errs) {
			break
		}
		errs = append(errs, registryvalidation.Key(providers[i].Name, seen, path.Index(i).Child("name"))...)
		errs = append(errs, validateCluster(&providers[i].Cluster, path.Index(i).Child("cluster"))...)
	}
	return errs
}

// validateCluster accepts a cluster without any value, because in Go it is the same as an absent
// one.
func validateCluster(cluster *clientcmdv1.Cluster, path *field.Path) field.ErrorList {
	if reflect.ValueOf(*cluster).IsZero() {
		return nil
	}
	var errs field.ErrorList
	if cluster.Server == "" {
		errs = append(errs, field.Required(path.Child("server"), ""))
	}
	for i := range cluster.Extensions {
		if bounds.Enough(errs) {
			break
		}
		extension, at := &cluster.Extensions[i], path.Child("extensions").Index(i)
		if extension.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), ""))
		}
		errs = append(errs, validateExtension(extension.Extension.Raw, at.Child("extension"))...)
	}
	return errs
}

// validateExtension requires a JSON object. Decoding the request has already checked that raw is
// JSON.
func validateExtension(raw []byte, path *field.Path) field.ErrorList {
	switch {
	case len(raw) == 0:
		return field.ErrorList{field.Required(path, "")}
	case !bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")):
		return field.ErrorList{field.TypeInvalid(path, field.OmitValueType{}, "must be an object")}
	default:
		return nil
	}
}

// proxySchemes are those of a proxy-url in v1alpha2.
var proxySchemes = sets.New("http", "https", "socks5")

// validateV1alpha2Manager returns what v1alpha2 refuses in the name of a manager. An update needs
// no such check: the name is immutable.
func validateV1alpha2Manager(name string) field.ErrorList {
	path := field.NewPath("spec", "clusterManager", "name")
	return registryvalidation.Name(name, content.LabelValueMaxLength, utilvalidation.IsValidLabelValue, path)
}

// validateV1alpha2Status returns what v1alpha2 refuses in status and validateStatus accepts. Like a
// CRD's, the validation ratchets: a value that old, the stored status in v1alpha2, has as well is
// not refused.
func validateV1alpha2Status(status, old *inventoryv1alpha1.ClusterProfileStatus, path *field.Path) field.ErrorList {
	providers := path.Child("accessProviders")
	if apiequality.Semantic.DeepEqual(status.AccessProviders, old.AccessProviders) {
		return nil
	}
	if errs := registryvalidation.Count(len(status.AccessProviders), v1alpha2.MaxAccessProviders, providers); len(errs) > 0 {
		return errs
	}
	stored := map[string]*clientcmdv1.Cluster{}
	for i := range old.AccessProviders {
		stored[old.AccessProviders[i].Name] = &old.AccessProviders[i].Cluster
	}
	var errs field.ErrorList
	for i := range status.AccessProviders {
		if bounds.Enough(errs) {
			break
		}
		provider, at := &status.AccessProviders[i], providers.Index(i)
		was := stored[provider.Name]
		if was == nil {
			errs = append(errs, registryvalidation.Length(provider.Name, v1alpha2.MaxNameLength, at.Child("name"))...)
		}
		errs = append(errs, validateV1alpha2Cluster(&provider.Cluster, was, at.Child("cluster"))...)
	}
	return errs
}

// validateV1alpha2Cluster is validateV1alpha2Status for the cluster of a provider. old is nil for a
// new provider.
func validateV1alpha2Cluster(cluster, old *clientcmdv1.Cluster, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if old == nil || cluster.Server != old.Server {
		errs = append(errs, validateV1alpha2Server(cluster, path.Child("server"))...)
	}
	if old == nil || cluster.TLSServerName != old.TLSServerName {
		errs = append(errs, registryvalidation.Length(cluster.TLSServerName, v1alpha2.MaxNameLength, path.Child("tls-server-name"))...)
	}
	if cluster.ProxyURL != "" && (old == nil || cluster.ProxyURL != old.ProxyURL) {
		errs = append(errs, validateV1alpha2ProxyURL(cluster.ProxyURL, path.Child("proxy-url"))...)
	}
	var extensions []clientcmdv1.NamedExtension
	if old != nil {
		extensions = old.Extensions
	}
	return append(errs, validateV1alpha2Extensions(cluster.Extensions, extensions, path.Child("extensions"))...)
}

// validateV1alpha2Server does not repeat the URL, which may have a password.
func validateV1alpha2Server(cluster *clientcmdv1.Cluster, path *field.Path) field.ErrorList {
	switch {
	case reflect.ValueOf(*cluster).IsZero():
		return field.ErrorList{field.Required(path, "")}
	case cluster.Server == "":
		return nil // validateCluster reports it
	}
	if errs := registryvalidation.Length(cluster.Server, v1alpha2.MaxURLLength, path); len(errs) > 0 {
		return errs
	}
	if hostURL(cluster.Server) == nil {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "must be an absolute URL with a host")}
	}
	return nil
}

// validateV1alpha2ProxyURL does not repeat the URL, which may have a password.
func validateV1alpha2ProxyURL(proxy string, path *field.Path) field.ErrorList {
	if errs := registryvalidation.Length(proxy, v1alpha2.MaxURLLength, path); len(errs) > 0 {
		return errs
	}
	if parsed := hostURL(proxy); parsed == nil || !proxySchemes.Has(parsed.Scheme) {
		return field.ErrorList{field.Invalid(path, field.OmitValueType{}, "must be a URL with the scheme http, https or socks5 and a host")}
	}
	return nil
}

// hostURL returns an absolute URL with a host, parsed as the CEL library of Kubernetes does, and
// nil for any other string.
func hostURL(s string) *url.URL {
	if _, err := url.ParseRequestURI(s); err != nil {
		return nil
	}
	parsed, err := url.Parse(s)
	if err != nil || parsed.Host == "" {
		return nil
	}
	return parsed
}

// validateV1alpha2Extensions does not look for names that occur twice if they do so in old, the
// stored extensions.
func validateV1alpha2Extensions(extensions, old []clientcmdv1.NamedExtension, path *field.Path) field.ErrorList {
	stored := sets.New[string]()
	for i := range old {
		stored.Insert(old[i].Name)
	}
	unique := stored.Len() == len(old)
	var errs field.ErrorList
	seen := sets.New[string]()
	for i := range extensions {
		if bounds.Enough(errs) {
			break
		}
		name, at := extensions[i].Name, path.Index(i).Child("name")
		if name == "" {
			continue // validateCluster reports it
		}
		if unique {
			errs = append(errs, registryvalidation.Key(name, seen, at)...)
		}
		if !stored.Has(name) {
			errs = append(errs, registryvalidation.Length(name, v1alpha2.MaxNameLength, at)...)
		}
	}
	return errs
}
