// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package platforms

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"
)

// kubeFleetManager is KubeFleet's name as a cluster manager and as an access provider.
const kubeFleetManager = "KubeFleet"

// memberCluster is what KubeFleet's controller reads of a MemberCluster.
type memberCluster struct {
	name string
	// collected says that the member agent has reported properties, of which an empty one is missing.
	collected                      bool
	version, entryPoint, authority string
	healthy                        metav1.ConditionStatus
}

// kubeFleet plays the controller of KubeFleet that makes ClusterProfiles from MemberClusters
// (github.com/kubefleet-dev/kubefleet, pkg/controllers/clusterinventory/clusterprofile, read at
// e160c1cd), because it can't be built here. It writes what that writes: label and spec if they
// differ, the version, the whole list of access providers, which is one entry without an extension,
// and one condition. Releases before August 2026 write the status even if nothing has changed; so
// does this.
type kubeFleet struct {
	profiles inventoryclient.ClusterProfileInterface
	// written are the resource versions of the profile that it has caused, without repetition.
	written []string
}

func (k *kubeFleet) reconcile(ctx context.Context, of *memberCluster) error {
	profile, err := k.profiles.Get(ctx, of.name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	options := metav1.UpdateOptions{FieldManager: kubeFleetManager}
	switch next := desired(profile, of); {
	case err != nil:
		profile, err = k.profiles.Create(ctx, next, metav1.CreateOptions{FieldManager: kubeFleetManager})
	case !equality.Semantic.DeepEqual(profile, next):
		profile, err = k.profiles.Update(ctx, next, options)
	}
	if err != nil {
		return err
	}
	k.note(profile)
	fillStatus(&profile.Status, of)
	if profile, err = k.profiles.UpdateStatus(ctx, profile, options); err != nil {
		return err
	}
	k.note(profile)
	return nil
}

func (k *kubeFleet) note(profile *inventoryv1alpha1.ClusterProfile) {
	if count := len(k.written); count == 0 || k.written[count-1] != profile.ResourceVersion {
		k.written = append(k.written, profile.ResourceVersion)
	}
}

// desired returns a profile with the label and the spec that KubeFleet gives it.
func desired(profile *inventoryv1alpha1.ClusterProfile, of *memberCluster) *inventoryv1alpha1.ClusterProfile {
	next := profile.DeepCopy()
	next.Name = of.name
	next.Spec = inventoryv1alpha1.ClusterProfileSpec{
		DisplayName: of.name, ClusterManager: inventoryv1alpha1.ClusterManager{Name: kubeFleetManager},
	}
	metav1.SetMetaDataLabel(&next.ObjectMeta, inventoryv1alpha1.LabelClusterManagerKey, kubeFleetManager)
	return next
}

func fillStatus(status *inventoryv1alpha1.ClusterProfileStatus, of *memberCluster) {
	if of.collected {
		if of.version != "" {
			status.Version.Kubernetes = of.version
		}
		only := inventoryv1alpha1.AccessProvider{Name: kubeFleetManager, Cluster: clientcmdv1.Cluster{Server: of.entryPoint}}
		if of.authority != "" {
			// The property is in base64 already, and is not decoded.
			only.Cluster.CertificateAuthorityData = []byte(of.authority)
		}
		status.AccessProviders = []inventoryv1alpha1.AccessProvider{only}
	}
	reason := map[metav1.ConditionStatus]string{
		metav1.ConditionTrue: "MemberClusterAPIServerHealthy", metav1.ConditionFalse: "MemberClusterAPIServerUnhealthy",
		metav1.ConditionUnknown: "MemberAgentReportedNoStatus",
	}[of.healthy]
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: inventoryv1alpha1.ClusterConditionControlPlaneHealthy, Status: of.healthy, Reason: reason,
		Message: "as the Fleet member agent has reported",
	})
}
