// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gone distinguishes a missing object of the hub from a missing API. Both are 404. A
// missing API must not end grants.
package gone

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Is returns whether err, of a call for the named object of a resource, means that there is no such
// object. It returns false if the answer is not from an API server (without an APIService the hub
// answers "404 page not found"), or if it names another object or none (k8s.io/apiserver, for a
// path below a group-version that it serves).
func Is(err error, resource schema.GroupResource, name string) bool {
	if !apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return false
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Group == resource.Group && details.Kind == resource.Resource && details.Name == name
}
