// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

// answer returns the status for an issued token.
func answer(g *clusterpassv1alpha1.AuthTokenGrant, c *member.Client, token *issuedToken) (v1alpha1.AuthTokenRequestStatus, error) {
	cluster := c.Cluster()
	kubeconfig, err := kubeconfig(g, cluster, token.token)
	if err != nil {
		return v1alpha1.AuthTokenRequestStatus{}, err
	}
	now := metav1.NewTime(token.issued)
	return v1alpha1.AuthTokenRequestStatus{
		Token:               token.token,
		ExpirationTimestamp: timestamp(token.expires),
		RefreshAfter:        timestamp(token.refreshAfter()),
		Cluster:             answerCluster(cluster),
		Kubeconfig:          kubeconfig,
		GrantName:           g.Name,
		Conditions: conditions(g, func(kind, what string) metav1.Condition {
			c := metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady, LastTransitionTime: now}
			switch {
			case what == "":
				c.Reason, c.Message = v1alpha1.ReasonNotRequested, "the request names none"
			case kind == v1alpha1.ConditionTokenRetrieved:
				c.Reason, c.Message = v1alpha1.ReasonIssued, "issued "+what
			default:
				c.Message = "ready: " + what
			}
			return c
		}),
	}, nil
}

// dryRunStatus returns the status for a dry run, which does not call the member. The conditions
// about the member are Unknown, and say what would be created.
func dryRunStatus(g *clusterpassv1alpha1.AuthTokenGrant, cluster clientcmdv1.Cluster, now time.Time) v1alpha1.AuthTokenRequestStatus {
	return v1alpha1.AuthTokenRequestStatus{
		Cluster:   answerCluster(cluster),
		GrantName: g.Name,
		Conditions: conditions(g, func(kind, what string) metav1.Condition {
			c := metav1.Condition{
				Type: kind, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonDryRun,
				Message: "would be found or created: " + what, LastTransitionTime: metav1.NewTime(now),
			}
			switch {
			case what == "":
				c.Status, c.Reason, c.Message = metav1.ConditionTrue, v1alpha1.ReasonNotRequested, "the request names none"
			case kind == v1alpha1.ConditionTokenRetrieved:
				c.Message = "would be issued " + what
			}
			return c
		}),
	}
}

// conditions returns the four conditions of a request. It calls one for each type, with the objects
// that the grant names for it.
func conditions(g *clusterpassv1alpha1.AuthTokenGrant, one func(kind, what string) metav1.Condition) []metav1.Condition {
	clusterRoles, roles := roleNames(g)
	return []metav1.Condition{
		one(v1alpha1.ConditionServiceAccountReady, grant.Account(g).String()),
		one(v1alpha1.ConditionRolesReady, strings.Join(roles, ", ")),
		one(v1alpha1.ConditionClusterRolesReady, strings.Join(clusterRoles, ", ")),
		one(v1alpha1.ConditionTokenRetrieved, "for ServiceAccount "+grant.Account(g).String()),
	}
}

// roleNames returns the names of the roles of g on the member. Names of Roles include the
// namespace.
func roleNames(g *clusterpassv1alpha1.AuthTokenGrant) (clusterRoles, roles []string) {
	for _, role := range grant.Roles(g.Spec.ClusterRoles, g.Spec.Roles) {
		if name := role.On(g.UID).String(); role.OfCluster() {
			clusterRoles = append(clusterRoles, name)
		} else {
			roles = append(roles, name)
		}
	}
	return clusterRoles, roles
}

// kubeconfig returns a kubeconfig file with one context. Its entries are named after the cluster's
// name on the hub. The file is JSON, which is also YAML, and takes a tenth of the time to write.
func kubeconfig(g *clusterpassv1alpha1.AuthTokenGrant, cluster clientcmdv1.Cluster, token string) ([]byte, error) {
	name := g.Spec.ClusterProfile.Name
	account := g.Spec.ServiceAccount.Name + "@" + name
	config := clientcmdv1.Config{
		Kind:           "Config",
		APIVersion:     clientcmdv1.SchemeGroupVersion.Version,
		CurrentContext: name,
		Clusters:       []clientcmdv1.NamedCluster{{Name: name, Cluster: cluster}},
		AuthInfos:      []clientcmdv1.NamedAuthInfo{{Name: account, AuthInfo: clientcmdv1.AuthInfo{Token: token}}},
		Contexts: []clientcmdv1.NamedContext{{Name: name, Context: clientcmdv1.Context{
			Cluster: name, AuthInfo: account, Namespace: g.Spec.ServiceAccount.Namespace,
		}}},
	}
	encoded, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return append(encoded, '\n'), nil
}

func answerCluster(c clientcmdv1.Cluster) *v1alpha1.Cluster {
	return &v1alpha1.Cluster{
		Server:                   c.Server,
		CertificateAuthorityData: c.CertificateAuthorityData,
		TLSServerName:            c.TLSServerName,
		ProxyURL:                 c.ProxyURL,
	}
}

func timestamp(t time.Time) *metav1.Time {
	stamp := metav1.NewTime(t)
	return &stamp
}

// auditAnnotations returns annotations for the hub's audit log. They name what was granted, and
// link the event to events in the member's audit log by the credential ID.
func auditAnnotations(g *clusterpassv1alpha1.AuthTokenGrant, token *issuedToken) map[string]string {
	clusterRoles, roles := roleNames(g)
	annotations := map[string]string{
		"clusterpass.dev/cluster-profile":     grant.Cluster(g).String(),
		"clusterpass.dev/cluster-profile-uid": string(g.Spec.ClusterProfile.UID),
		"clusterpass.dev/service-account":     grant.Account(g).String(),
		"clusterpass.dev/grant":               g.Namespace + "/" + g.Name,
		"clusterpass.dev/grant-uid":           string(g.UID),
		"clusterpass.dev/credential-id":       token.credentialID,
		"clusterpass.dev/expiration":          token.expires.UTC().Format(time.RFC3339),
	}
	if encoded, err := json.Marshal(append(clusterRoles, roles...)); err == nil {
		annotations["clusterpass.dev/roles"] = string(encoded)
	}
	return annotations
}
