// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// waitEstablished waits until the cluster serves all CRDs that it has of a group.
func waitEstablished(ctx context.Context, cluster *Cluster, group string) error {
	client, err := apiextensions.NewForConfig(cluster.RESTConfig())
	if err != nil {
		return err
	}
	return poll(ctx, "CRDs of "+group, func(ctx context.Context) (reason, err error) {
		crds, err := client.ApiextensionsV1().CustomResourceDefinitions().List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		reason = errors.New("there are none")
		for i := range crds.Items {
			crd := &crds.Items[i]
			if crd.Spec.Group != group {
				continue
			}
			if !apihelpers.IsCRDConditionTrue(crd, apiextensionsv1.Established) {
				return fmt.Errorf("%s is not established", crd.Name), nil
			}
			reason = nil
		}
		return reason, nil
	})
}
