// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/registry/internal/table"
)

// text is the type of the columns.
const text = "string"

var columns = []metav1.TableColumnDefinition{
	{Name: "Credentials", Type: text, Description: "How many of the selected clusters have a valid credential."},
	{Name: "Ready", Type: text, Description: "Whether all of them have, or why not."},
	{Name: "Format", Type: text, Description: "How the Secrets hold the credentials."},
	{Name: "Secrets", Type: text, Priority: table.Wide, Description: "Namespace and name of the Secrets."},
	{Name: "Next Rotation", Type: text, Priority: table.Wide, Description: "When the first of the credentials is renewed."},
	{Name: "Author", Type: text, Priority: table.Wide, Description: "Who last changed the spec. The credentials are what this user may have."},
}

func cells(set *v1alpha1.ClusterCredentialSet) []any {
	ready, author := "Unknown", "<none>"
	if condition := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.CredentialSetReady); condition != nil {
		ready = string(condition.Status)
		if condition.Status != metav1.ConditionTrue {
			ready = condition.Reason
		}
	}
	if set.Spec.Author != nil {
		author = set.Spec.Author.Username
	}
	return []any{
		fmt.Sprintf("%d/%d", set.Status.Ready, set.Status.Selected),
		ready,
		string(set.Spec.Secret.Format),
		credentialset.SecretName(set, credentialset.ClusterName).String(),
		nextRotation(set),
		author,
	}
}

func nextRotation(set *v1alpha1.ClusterCredentialSet) string {
	if set.Status.NextRotation.IsZero() {
		return "<none>"
	}
	return set.Status.NextRotation.UTC().Format(time.RFC3339)
}
