// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

func addDefaultingFuncs(scheme *runtime.Scheme) error {
	return RegisterDefaults(scheme)
}

// SetDefaults_ClusterCredentialSet fills in what a set may leave out, but for the namespaces: they default to that
// of the set, which is not known of an object that is about to be created. It stays open which ServiceAccount each cluster has, too.
func SetDefaults_ClusterCredentialSet(set *ClusterCredentialSet) {
	spec := &set.Spec
	spec.Template.ServiceAccountNamespace = cmp.Or(spec.Template.ServiceAccountNamespace, metav1.NamespaceDefault)
	spec.Secret.Name = cmp.Or(spec.Secret.Name, "{{.set.name}}-{{.cluster.name}}")
	spec.Secret.Format = cmp.Or(spec.Secret.Format, SecretFormatKubeconfig)
	if spec.Rotation.ExpirationSeconds == nil {
		spec.Rotation.ExpirationSeconds = ptr.To(multiclusterv1alpha1.DefaultExpirationSeconds)
	}
	if spec.Rotation.RefreshAtPercent == nil {
		spec.Rotation.RefreshAtPercent = ptr.To(DefaultRefreshAtPercent)
	}
	if kueue := spec.Consumer.MultiKueue; kueue != nil {
		kueue.Order = cmp.Or(kueue.Order, MultiKueueOrderSelection)
		kueue.ClusterSource = cmp.Or(kueue.ClusterSource, MultiKueueClusterSourceKubeConfig)
	}
}
