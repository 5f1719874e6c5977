// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	multiclusterv1alpha2 "clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/hub"
)

// DefaultClusterManager is the cluster manager of profiles that are joined without another.
const DefaultClusterManager = "clusterpass"

// Member is the cluster that is joined.
type Member struct {
	// Config is how who joins it reaches it.
	Config *rest.Config
	// Endpoint is how the hub is to reach it: server, CA, and what else of a kubeconfig's cluster a
	// connection takes. Its CA is inline.
	Endpoint clientcmdapi.Cluster
}

// Target names a ClusterProfile of a hub.
type Target struct {
	// Hub is how who joins a member to it reaches it.
	Hub *rest.Config
	// Namespace and Name are those of the ClusterProfile.
	Namespace, Name string
	// ClusterManager is spec.clusterManager.name of the ClusterProfile.
	ClusterManager string
	// DryRun says what is not done.
	DryRun DryRun
	// Timeout bounds each wait.
	Timeout time.Duration
	// Out gets a line for every step.
	Out io.Writer
}

// Options are those of Run. All fields are required but for those that say otherwise.
type Options struct {
	Target
	Member Member
	// Allowed is what the member allows the hub.
	Allowed Allowed
	// Labels are set on the ClusterProfile; optional.
	Labels map[string]string
	// MemberID is the value of the label inventory-member-id of the ClusterProfile. If it is empty,
	// the label stays as it is; a ClusterProfile without it gets the UID of the member's namespace
	// kube-system.
	MemberID string
	// Taints are added to those of the ClusterProfile; optional.
	Taints []clusterpassv1alpha1.ClusterTaint
	// Consumers, where given, is what programs get that log in with clusterpass-credential-plugin; its
	// target is filled in.
	Consumers *multiclusterv1alpha1.AuthTokenRequestSpec
	// Adopt is to use a ClusterProfile that somebody else manages, and to write nothing to it:
	// ClusterManager, Labels, MemberID, Taints and Consumers are not used.
	Adopt bool
	// KeepAllowed is to leave what the member allows as it is, in place of Allowed, if the member is
	// shared with other ClusterProfiles.
	KeepAllowed bool
	// CredentialOnly is to give the hub a new token where it needs one, and to leave everything else
	// as it is.
	CredentialOnly bool
	// RevokeGrants is to revoke the grants that need what is no longer allowed; without it they are
	// named, and nothing is done.
	RevokeGrants bool
	// Wait is to wait until the ClusterProfile's condition ControlPlaneHealthy is true, or, if it is
	// adopted, until the hub finds the Secret.
	Wait bool
}

// Validate returns everything that is refused whatever the clusters have.
func (o *Options) Validate() error {
	errs := []error{o.validate(), checkEndpoint(&o.Member.Endpoint), o.Allowed.validate(), o.checkConsumers()}
	errs = append(errs, metav1validation.ValidateLabels(o.Labels, field.NewPath("labels")).ToAggregate())
	for key := range o.Labels {
		if strings.HasPrefix(key, "clusterpass.dev/") || key == inventoryv1alpha1.LabelClusterManagerKey {
			errs = append(errs, fmt.Errorf("label %s is set by clusterpass", key))
		}
		if key == multiclusterv1alpha2.LabelInventoryMemberID {
			errs = append(errs, fmt.Errorf("label %s is set by --member-id", key))
		}
	}
	for _, problem := range validation.IsValidLabelValue(o.MemberID) {
		errs = append(errs, fmt.Errorf("--member-id is a label's value: %s", problem))
	}
	return errors.Join(errs...)
}

// checkConsumers refuses what the member would refuse each time.
func (o *Options) checkConsumers() error {
	if o.Consumers == nil {
		return nil
	}
	if namespace := o.Consumers.ServiceAccountNamespace; !slices.Contains(o.Allowed.Namespaces, namespace) {
		return fmt.Errorf("the ServiceAccount for consumers is in namespace %q, which --allow-namespaces does not have", namespace)
	}
	for _, role := range o.Consumers.ClusterRoles {
		if !o.Allowed.AllClusterRoles && !slices.Contains(o.Allowed.ClusterRoles, role.Name) {
			return fmt.Errorf("ClusterRole %q for consumers is not among those of --allow-cluster-roles", role.Name)
		}
	}
	return nil
}

func (t *Target) validate() error {
	for _, problem := range validation.IsDNS1123Subdomain(t.Name) {
		return fmt.Errorf("%q is not the name of a ClusterProfile: %s", t.Name, problem)
	}
	for _, problem := range validation.IsValidLabelValue(t.ClusterManager) {
		return fmt.Errorf("--cluster-manager is a label's value: %s", problem)
	}
	if t.ClusterManager == "" {
		return errors.New("--cluster-manager must not be empty")
	}
	return nil
}

func (a *Allowed) validate() error {
	var errs []error
	if len(a.Namespaces) == 0 {
		errs = append(errs, errors.New("--allow-namespaces must name at least one namespace"))
	}
	if len(a.ClusterRoles) == 0 && !a.AllClusterRoles {
		errs = append(errs, errors.New("--allow-cluster-roles must name at least one ClusterRole"))
	}
	if len(a.ClusterRoles) > 0 && a.AllClusterRoles {
		errs = append(errs, errors.New("--allow-cluster-roles and --allow-all-cluster-roles exclude each other"))
	}
	for _, role := range a.ClusterRoles {
		errs = append(errs, checkClusterRole(role))
	}
	for _, namespace := range a.Namespaces {
		errs = append(errs, checkNamespace(namespace))
	}
	return errors.Join(errs...)
}

func checkClusterRole(role string) error {
	switch {
	case strings.Contains(role, "*"):
		return fmt.Errorf("ClusterRole %q: wildcards are not supported. "+
			"To let the hub bind every ClusterRole, cluster-admin included, use --allow-all-cluster-roles", role)
	case role == mainRole, strings.HasPrefix(role, mainRole+":"):
		return fmt.Errorf("ClusterRole %q is clusterpass's own, and can't be granted to others", role)
	case strings.Contains(role, "/"):
		return fmt.Errorf("ClusterRole %q: a ClusterRole has no namespace; --allow-namespaces says where its bindings and ServiceAccounts may be",
			role)
	case role == "" || strings.TrimSpace(role) != role:
		return fmt.Errorf("ClusterRole %q: not a name", role)
	default:
		return nil
	}
}

func checkNamespace(namespace string) error {
	switch {
	case strings.Contains(namespace, "*"):
		return fmt.Errorf("namespace %q: wildcards are not supported: "+
			"in an allowed namespace the hub can use every ServiceAccount and every Secret, so name each namespace", namespace)
	case hub.ReservedNamespaces.Has(namespace):
		return fmt.Errorf("namespace %s is never allowed: whoever has a ServiceAccount there can take over the member", namespace)
	}
	for _, problem := range validation.IsDNS1123Label(namespace) {
		return fmt.Errorf("namespace %q: %s", namespace, problem)
	}
	return nil
}

// warnings returns what is worth saying of what was asked for by name.
func (a *Allowed) warnings() []string {
	var all []string
	if a.AllClusterRoles {
		all = append(all, "the hub may bind every ClusterRole of this member, cluster-admin included")
	}
	if a.Rules && !a.AllClusterRoles && !slices.Contains(a.ClusterRoles, "cluster-admin") {
		all = append(all, "with --allow-rules the hub can create and bind roles with any rights: "+
			"--allow-cluster-roles no longer limits what a compromised hub can do")
	}
	return all
}
