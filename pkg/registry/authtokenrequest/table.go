// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokenrequest

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

var columns = []metav1.TableColumnDefinition{
	{Name: "Name", Type: "string", Format: "name", Description: "Name of the request; nothing is stored under it."},
	{Name: "Cluster", Type: "string", Description: "ClusterProfile of the member cluster."},
	{Name: "Service Account", Type: "string", Description: "ServiceAccount on the member cluster, as namespace/name."},
	{Name: "Expires", Type: "string", Format: "date-time", Description: "When the token expires."},
}

// ConvertToTable implements rest.TableConvertor. No cell has the token. The object of a row has
// only metadata, even if the client asks for the whole object.
func (server) ConvertToTable(_ context.Context, obj runtime.Object, tableOptions runtime.Object) (*metav1.Table, error) {
	request, ok := obj.(*v1alpha1.AuthTokenRequest)
	if !ok {
		return nil, fmt.Errorf("not an AuthTokenRequest: %T", obj)
	}
	expires := "<none>"
	if at := request.Status.ExpirationTimestamp; at != nil {
		expires = at.UTC().Format(time.RFC3339)
	}
	table := &metav1.Table{Rows: []metav1.TableRow{{
		Cells: []any{
			request.Name,
			request.Spec.TargetClusterProfile.Name,
			request.Spec.ServiceAccountNamespace + "/" + request.Spec.ServiceAccountName,
			expires,
		},
		Object: runtime.RawExtension{Object: &v1alpha1.AuthTokenRequest{TypeMeta: request.TypeMeta, ObjectMeta: request.ObjectMeta}},
	}}}
	if options, ok := tableOptions.(*metav1.TableOptions); !ok || !options.NoHeaders {
		table.ColumnDefinitions = columns
	}
	return table, nil
}
