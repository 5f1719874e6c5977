// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
)

// CheckMember returns a metav1.Status error, 409 with member.CauseIdentity, if g is on another
// cluster than the one with the UID. It returns nil if either UID is unknown.
func CheckMember(g *v1alpha1.AuthTokenGrant, uid types.UID) error {
	if g.Status.MemberUID == "" || uid == "" || g.Status.MemberUID == uid {
		return nil
	}
	return NewOtherMember(g.Name, fmt.Sprintf("ClusterProfile %s leads to another cluster than the one that has the grant: the UID of its namespace kube-system is %s, and that of the grant's cluster is %s. "+
		"Nothing was made or removed there. Have the ClusterProfile lead to the grant's cluster again, or, if that is gone for ever, delete the grant and annotate it with %s=true",
		Cluster(g), uid, g.Status.MemberUID, v1alpha1.AnnotationAbandonMember))
}

// NewOtherMember returns the error of CheckMember for the grant of that name.
func NewOtherMember(name, message string) *apierrors.StatusError {
	err := apierrors.NewConflict(v1alpha1.Resource("authtokengrants"), name, errors.New(message))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: member.CauseIdentity, Message: message}}
	return err
}

// CheckMemberOf is CheckMember for the cluster that client reaches. It asks that cluster for its
// UID only if g has one. Other errors are those of member.Client.MemberUID.
func CheckMemberOf(ctx context.Context, g *v1alpha1.AuthTokenGrant, client *member.Client) error {
	if g.Status.MemberUID == "" {
		return nil
	}
	uid, err := client.MemberUID(ctx)
	if err != nil {
		return err
	}
	return CheckMember(g, uid)
}
