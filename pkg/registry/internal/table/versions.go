// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpass.dev/pkg/registry/internal/strategy"
)

// ByVersion prints objects of multicluster.x-k8s.io with the columns of the version of a request:
// in V1alpha2 those that come first are upstream's, in upstream's order.
type ByVersion struct{ V1alpha1, V1alpha2 rest.TableConvertor }

// ConvertToTable implements rest.TableConvertor.
func (v ByVersion) ConvertToTable(ctx context.Context, obj, tableOptions runtime.Object) (*metav1.Table, error) {
	if strategy.IsV1alpha2(ctx) {
		return v.V1alpha2.ConvertToTable(ctx, obj, tableOptions)
	}
	return v.V1alpha1.ConvertToTable(ctx, obj, tableOptions)
}
