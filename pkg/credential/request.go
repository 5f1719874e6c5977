// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// ProviderName is the name of the access provider in the status of ClusterProfiles.
	ProviderName = "clusterpass"
	// ExecExtension is the extension of an access provider's cluster that client-go hands to the
	// plugin: here, a Request.
	ExecExtension = "client.authentication.k8s.io/exec"
)

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
		return Request{}, fmt.Errorf("extension %s of the access provider %s: %w", ExecExtension, ProviderName, err)
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
