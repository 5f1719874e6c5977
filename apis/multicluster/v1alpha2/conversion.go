// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// Convert_v1alpha2_ClusterProfileStatus_To_v1alpha1_ClusterProfileStatus converts in. Without
// conditions, the list in out is empty and not nil, because v1alpha1 would encode nil as null.
func Convert_v1alpha2_ClusterProfileStatus_To_v1alpha1_ClusterProfileStatus(
	in *ClusterProfileStatus, out *inventoryv1alpha1.ClusterProfileStatus, s conversion.Scope,
) error {
	if err := autoConvert_v1alpha2_ClusterProfileStatus_To_v1alpha1_ClusterProfileStatus(in, out, s); err != nil {
		return err
	}
	if out.Conditions == nil {
		out.Conditions = []metav1.Condition{}
	}
	return nil
}

// Convert_v1alpha1_ClusterProfileStatus_To_v1alpha2_ClusterProfileStatus converts in without its
// credentialProviders.
func Convert_v1alpha1_ClusterProfileStatus_To_v1alpha2_ClusterProfileStatus(
	in *inventoryv1alpha1.ClusterProfileStatus, out *ClusterProfileStatus, s conversion.Scope,
) error {
	return autoConvert_v1alpha1_ClusterProfileStatus_To_v1alpha2_ClusterProfileStatus(in, out, s)
}

// Convert_v1alpha2_Cluster_To_v1_Cluster converts in.
func Convert_v1alpha2_Cluster_To_v1_Cluster(in *Cluster, out *clientcmdv1.Cluster, _ conversion.Scope) error {
	*out = clientcmdv1.Cluster{
		Server:                   in.Server,
		TLSServerName:            in.TLSServerName,
		InsecureSkipTLSVerify:    in.InsecureSkipTLSVerify,
		CertificateAuthorityData: in.CertificateAuthorityData,
		ProxyURL:                 in.ProxyURL,
		DisableCompression:       in.DisableCompression,
	}
	if in.Extensions != nil {
		out.Extensions = make([]clientcmdv1.NamedExtension, 0, len(in.Extensions))
	}
	for _, extension := range in.Extensions {
		out.Extensions = append(out.Extensions, clientcmdv1.NamedExtension(extension))
	}
	return nil
}

// Convert_v1_Cluster_To_v1alpha2_Cluster converts in without the path of a CA file.
func Convert_v1_Cluster_To_v1alpha2_Cluster(in *clientcmdv1.Cluster, out *Cluster, _ conversion.Scope) error {
	*out = Cluster{
		Server:                   in.Server,
		TLSServerName:            in.TLSServerName,
		InsecureSkipTLSVerify:    in.InsecureSkipTLSVerify,
		CertificateAuthorityData: in.CertificateAuthorityData,
		ProxyURL:                 in.ProxyURL,
		DisableCompression:       in.DisableCompression,
	}
	if in.Extensions != nil {
		out.Extensions = make([]NamedExtension, 0, len(in.Extensions))
	}
	for _, extension := range in.Extensions {
		out.Extensions = append(out.Extensions, NamedExtension(extension))
	}
	return nil
}
