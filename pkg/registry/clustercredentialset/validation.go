// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"fmt"
	"slices"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/bounds"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/mint"
	registryvalidation "clusterpass.dev/pkg/registry/internal/validation"
)

const (
	// maxSetName leaves room for it in names that are made of it.
	maxSetName = 63
	// exampleCluster stands for a cluster's name where a template is tried out.
	exampleCluster = "cluster"
)

var (
	formats        = []v1alpha1.SecretFormat{v1alpha1.SecretFormatKubeconfig, v1alpha1.SecretFormatArgoCD, v1alpha1.SecretFormatToken}
	orders         = []v1alpha1.MultiKueueOrder{v1alpha1.MultiKueueOrderSelection, v1alpha1.MultiKueueOrderName}
	clusterSources = []v1alpha1.MultiKueueClusterSource{v1alpha1.MultiKueueClusterSourceKubeConfig,
		v1alpha1.MultiKueueClusterSourceClusterProfile}
)

func (s strategy) validateCreate(set *v1alpha1.ClusterCredentialSet) field.ErrorList {
	metadata := field.NewPath("metadata")
	errs := apivalidation.ValidateObjectMeta(&set.ObjectMeta, true, apivalidation.NameIsDNSSubdomain, metadata)
	if len(set.Name) > maxSetName {
		errs = append(errs, field.TooLong(metadata.Child("name"), "", maxSetName))
	}
	return append(errs, s.validateSpec(set, field.NewPath("spec"))...)
}

// validateUpdate keeps the Secrets where they are: nothing would remove the old ones while the
// controller manager is down. It lets a spec stay as it is, which an earlier release may have found
// nothing wrong with: such a set can be deleted, too.
func (s strategy) validateUpdate(set, old *v1alpha1.ClusterCredentialSet) field.ErrorList {
	if apiequality.Semantic.DeepEqual(set.Spec, old.Spec) {
		return nil
	}
	path := field.NewPath("spec")
	errs := append(s.validateSpec(set, path), s.masters.refuse(set)...)
	errs = append(errs,
		apivalidation.ValidateImmutableField(set.Spec.Clusters.Namespace, old.Spec.Clusters.Namespace, path.Child("clusters", "namespace"))...)
	if credentialset.KeepsCredentials(set) != credentialset.KeepsCredentials(old) {
		errs = append(errs, field.Forbidden(path.Child("consumer", "multiKueue", "clusterSource"), "can't be changed: make another set"))
	}
	secret := path.Child("secret")
	errs = append(errs,
		apivalidation.ValidateImmutableField(set.Spec.Secret.Namespace, old.Spec.Secret.Namespace, secret.Child("namespace"))...)
	return append(errs, apivalidation.ValidateImmutableField(set.Spec.Secret.Name, old.Spec.Secret.Name, secret.Child("name"))...)
}

func (s strategy) validateSpec(set *v1alpha1.ClusterCredentialSet, path *field.Path) field.ErrorList {
	spec := &set.Spec
	errs := validateSelection(&spec.Clusters, path.Child("clusters"))
	errs = append(errs, s.validateTemplate(&spec.Template, path.Child("template"))...)
	errs = append(errs, validateSecret(&spec.Secret, path.Child("secret"))...)
	if spec.Consumer.MultiKueue != nil {
		errs = append(errs, validateMultiKueue(set, path)...)
	}
	return append(errs, validateRotation(&spec.Rotation, path.Child("rotation"))...)
}

func validateSelection(clusters *v1alpha1.ClusterSelection, path *field.Path) field.ErrorList {
	errs := validateNamespace(clusters.Namespace, path.Child("namespace"))
	errs = append(errs, metav1validation.ValidateLabelSelector(clusters.LabelSelector, metav1validation.LabelSelectorValidationOptions{},
		path.Child("labelSelector"))...)
	errs = append(errs, validateList(clusters.Names, v1alpha1.MaxSelectedNames, path.Child("names"),
		func(name string, path *field.Path) field.ErrorList {
			return registryvalidation.Invalid(utilvalidation.IsDNS1123Subdomain(name), name, path)
		})...)
	key := clusters.DecisionKey
	errs = append(errs, registryvalidation.Invalid(utilvalidation.IsValidLabelValue(key), key, path.Child("decisionKey"))...)
	errs = append(errs, validateWriters(clusters, path.Child("decisionWriters"))...)
	switch byLabels, byNames := clusters.LabelSelector != nil, len(clusters.Names) > 0; {
	case byLabels && byNames:
		errs = append(errs, field.Forbidden(path.Child("names"), "only one of labelSelector and names"))
	case !byLabels && !byNames && key == "":
		errs = append(errs, field.Required(path, "one of labelSelector, names and decisionKey"))
	}
	return errs
}

// validateWriters returns what is wrong with the users whose decisions count.
func validateWriters(clusters *v1alpha1.ClusterSelection, path *field.Path) field.ErrorList {
	if len(clusters.DecisionWriters) > 0 && clusters.DecisionKey == "" {
		return field.ErrorList{field.Forbidden(path, "only with decisionKey")}
	}
	return validateList(clusters.DecisionWriters, v1alpha1.MaxDecisionWriters, path,
		func(writer string, path *field.Path) field.ErrorList {
			if len(writer) > v1alpha1.MaxDecisionWriter {
				return field.ErrorList{field.TooLong(path, "", v1alpha1.MaxDecisionWriter)}
			}
			return nil
		})
}

// validateList returns what is wrong with a list of different values: it has more than most, or
// check finds something wrong with one.
func validateList(
	values []string, most int, path *field.Path, check func(value string, path *field.Path) field.ErrorList,
) field.ErrorList {
	if len(values) > most {
		return field.ErrorList{field.TooMany(path, len(values), most)}
	}
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, value := range values {
		if bounds.Enough(errs) {
			break
		}
		errs = append(errs, registryvalidation.Key(value, seen, path.Index(i))...)
		errs = append(errs, check(value, path.Index(i))...)
	}
	return errs
}

func (s strategy) validateTemplate(template *v1alpha1.CredentialTemplate, path *field.Path) field.ErrorList {
	errs := s.rights.ValidateRights(&multiclusterv1alpha1.AuthTokenRequestSpec{
		ServiceAccountNamespace: template.ServiceAccountNamespace,
		ClusterRoles:            template.ClusterRoles,
		Roles:                   template.Roles,
		Audiences:               template.Audiences,
	}, path)
	if name := template.ServiceAccountName; name != "" {
		errs = append(errs, validateName(name, path.Child("serviceAccountName"))...)
	}
	return errs
}

func validateSecret(secret *v1alpha1.CredentialSecret, path *field.Path) field.ErrorList {
	errs := validateNamespace(secret.Namespace, path.Child("namespace"))
	errs = append(errs, validateName(secret.Name, path.Child("name"))...)
	errs = append(errs, validateArgoCD(secret, path.Child("argoCD"))...)
	if !strings.Contains(secret.Name, credentialset.ClusterName) {
		errs = append(errs,
			field.Invalid(path.Child("name"), secret.Name, credentialset.ClusterName+" must be in it: each cluster has a Secret of its own"))
	}
	if !slices.Contains(formats, secret.Format) {
		errs = append(errs, field.NotSupported(path.Child("format"), secret.Format, formats))
	}
	errs = append(errs, metav1validation.ValidateLabels(secret.Labels, path.Child("labels"))...)
	errs = append(errs, apivalidation.ValidateAnnotations(secret.Annotations, path.Child("annotations"))...)
	errs = append(errs, mint.ValidateReserved(secret.Labels, nil, "controller", path.Child("labels"))...)
	return append(errs, mint.ValidateReserved(secret.Annotations, nil, "controller", path.Child("annotations"))...)
}

// validateMultiKueue returns what is wrong with the consumer of a set, and with what Kueue could
// not use. An AdmissionCheck refers to its MultiKueueConfig by a name without dots, of 63
// characters at most.
func validateMultiKueue(set *v1alpha1.ClusterCredentialSet, path *field.Path) field.ErrorList {
	spec, kueue, at := &set.Spec, set.Spec.Consumer.MultiKueue, path.Child("consumer", "multiKueue")
	name := credentialset.ConfigName(set)
	errs := registryvalidation.Invalid(utilvalidation.IsDNS1123Label(name), name, at.Child("configName"))
	if !slices.Contains(orders, kueue.Order) {
		errs = append(errs, field.NotSupported(at.Child("order"), kueue.Order, orders))
	}
	if !slices.Contains(clusterSources, kueue.ClusterSource) {
		errs = append(errs, field.NotSupported(at.Child("clusterSource"), kueue.ClusterSource, clusterSources))
	}
	if kueue.ClusterSource == v1alpha1.MultiKueueClusterSourceClusterProfile {
		return append(errs, validateNoRights(&spec.Template, path.Child("template"))...)
	}
	if spec.Secret.Format != v1alpha1.SecretFormatKubeconfig {
		errs = append(errs, field.Invalid(path.Child("secret", "format"), spec.Secret.Format, "Kueue reads kubeconfig"))
	}
	return errs
}

// validateNoRights refuses what a set without credentials could not keep its word about.
func validateNoRights(template *v1alpha1.CredentialTemplate, path *field.Path) field.ErrorList {
	const why = "with clusterSource ClusterProfile, Kueue asks for its tokens itself, by a credential plugin"
	var errs field.ErrorList
	for _, right := range []struct {
		name  string
		given bool
	}{
		{"audiences", len(template.Audiences) > 0}, {"clusterRoles", len(template.ClusterRoles) > 0},
		{"roles", len(template.Roles) > 0}, {"serviceAccountName", template.ServiceAccountName != ""},
	} {
		if right.given {
			errs = append(errs, field.Forbidden(path.Child(right.name), why))
		}
	}
	return errs
}

func validateRotation(rotation *v1alpha1.CredentialRotation, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if seconds := rotation.ExpirationSeconds; seconds != nil &&
		(*seconds < multiclusterv1alpha1.MinExpirationSeconds || *seconds > multiclusterv1alpha1.MaxExpirationSeconds) {
		errs = append(errs, field.Invalid(path.Child("expirationSeconds"), *seconds,
			fmt.Sprintf("must be from %d to %d", multiclusterv1alpha1.MinExpirationSeconds, multiclusterv1alpha1.MaxExpirationSeconds)))
	}
	if percent := rotation.RefreshAtPercent; percent != nil &&
		(*percent < v1alpha1.MinRefreshAtPercent || *percent > v1alpha1.MaxRefreshAtPercent) {
		errs = append(errs, field.Invalid(path.Child("refreshAtPercent"), *percent,
			utilvalidation.InclusiveRangeError(int(v1alpha1.MinRefreshAtPercent), int(v1alpha1.MaxRefreshAtPercent))))
	}
	return errs
}

// validateArgoCD returns what is wrong with spec.secret.argoCD.
func validateArgoCD(secret *v1alpha1.CredentialSecret, path *field.Path) field.ErrorList {
	says := secret.ArgoCD
	if says == nil {
		return nil
	}
	var errs field.ErrorList
	if secret.Format != v1alpha1.SecretFormatArgoCD {
		errs = append(errs, field.Forbidden(path, "only with format argocd"))
	}
	example := credentialset.ExpandDisplay(says.Name, &v1alpha1.ClusterCredentialSet{}, &inventoryv1alpha1.ClusterProfile{})
	switch {
	case strings.ContainsAny(example, "{}"):
		errs = append(errs, field.Invalid(path.Child("name"), says.Name, fmt.Sprintf("only %s, %s, %s and %s may be in braces",
			credentialset.ClusterName, credentialset.ClusterNamespace, credentialset.ClusterDisplayName, credentialset.SetName)))
	case says.Name != "" && !strings.Contains(says.Name, credentialset.ClusterName) &&
		!strings.Contains(says.Name, credentialset.ClusterDisplayName):
		errs = append(errs, field.Invalid(path.Child("name"), says.Name, "must tell clusters apart, as "+credentialset.ClusterName+" does"))
	case len(says.Name) > v1alpha1.MaxArgoCDName:
		errs = append(errs, field.TooLong(path.Child("name"), "", v1alpha1.MaxArgoCDName))
	}
	errs = append(errs, validateList(says.Namespaces, v1alpha1.MaxArgoCDNamespaces, path.Child("namespaces"), validateNamespace)...)
	if says.ClusterResources != nil && len(says.Namespaces) == 0 {
		errs = append(errs, field.Forbidden(path.Child("clusterResources"), "only with namespaces: without them Argo CD manages all resources"))
	}
	if says.Project != "" {
		errs = append(errs, registryvalidation.Invalid(utilvalidation.IsDNS1123Subdomain(says.Project), says.Project, path.Child("project"))...)
	}
	if says.Shard != nil && *says.Shard < 0 {
		errs = append(errs, field.Invalid(path.Child("shard"), *says.Shard, "must not be negative"))
	}
	return errs
}

// validateName tries a template of a name out. Nothing else in braces is known.
func validateName(template string, path *field.Path) field.ErrorList {
	example := &v1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{Namespace: "namespace", Name: "set"}}
	name := credentialset.Expand(template, example, exampleCluster)
	if strings.ContainsAny(name, "{}") {
		return field.ErrorList{field.Invalid(path, template, fmt.Sprintf("only %s, %s and %s may be in braces",
			credentialset.ClusterName, credentialset.ClusterNamespace, credentialset.SetName))}
	}
	return registryvalidation.Invalid(utilvalidation.IsDNS1123Subdomain(name), template, path)
}

func validateNamespace(namespace string, path *field.Path) field.ErrorList {
	if namespace == "" {
		return nil
	}
	return registryvalidation.Invalid(apivalidation.ValidateNamespaceName(namespace, false), namespace, path)
}

func validateStatus(status *v1alpha1.ClusterCredentialSetStatus, path *field.Path) field.ErrorList {
	errs := registryvalidation.Conditions(status.Conditions, path.Child("conditions"))
	credentials := path.Child("credentials")
	if count := len(status.Credentials); count > v1alpha1.MaxListedCredentials {
		return append(errs, field.TooMany(credentials, count, v1alpha1.MaxListedCredentials))
	}
	seen := sets.New[string]()
	for i := range status.Credentials {
		errs = append(errs, registryvalidation.Key(status.Credentials[i].ClusterProfile, seen, credentials.Index(i).Child("clusterProfile"))...)
	}
	return errs
}
