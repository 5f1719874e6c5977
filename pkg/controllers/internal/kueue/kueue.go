// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kueue has what the controllers know of Kueue's API, and checks whether they can use it.
// It reads and writes no objects of Kueue.
package kueue

import (
	"context"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/pkg/rights"
)

// GroupVersion is the group and version of the API of Kueue v0.19.
var GroupVersion = schema.GroupVersion{Group: "kueue.x-k8s.io", Version: "v1beta2"}

// The resources of Kueue that controllers use.
const (
	Workloads          = "workloads"
	LocalQueues        = "localqueues"
	AdmissionChecks    = "admissionchecks"
	MultiKueueConfigs  = "multikueueconfigs"
	MultiKueueClusters = "multikueueclusters"
)

// MultiKueue is the controllerName of MultiKueue's AdmissionChecks.
const MultiKueue = "kueue.x-k8s.io/multikueue"

// ErrNotInstalled says that the hub has no Kueue, or an older one.
var ErrNotInstalled = fmt.Errorf("the hub does not serve %s: Kueue is not installed there, or too old", GroupVersion)

// ForbiddenError has what the controller manager may not do with objects of Kueue: the verbs that
// are missing, and their resource.
type ForbiddenError []string

// Error implements error.
func (e ForbiddenError) Error() string {
	return "the controller manager may not " + strings.Join(e, "; ")
}

// Usable returns nil if the hub serves GroupVersion and its client has the verbs on each of the
// resources, or RESOURCE/SUBRESOURCE. Otherwise the error is ErrNotInstalled or a ForbiddenError,
// or it says why this is unknown.
func Usable(ctx context.Context, hub kubernetes.Interface, verbs []string, resources ...string) error {
	_, err := hub.Discovery().ServerResourcesForGroupVersion(GroupVersion.String())
	if apierrors.IsNotFound(err) {
		return ErrNotInstalled
	}
	if err != nil {
		return fmt.Errorf("looking for %s: %w", GroupVersion, err)
	}
	var lacking ForbiddenError
	for _, name := range resources {
		resource, subresource, _ := strings.Cut(name, "/")
		missing, err := rights.Missing(ctx, hub, authorizationv1.ResourceAttributes{
			Group: GroupVersion.Group, Version: GroupVersion.Version, Resource: resource, Subresource: subresource,
		}, verbs...)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			lacking = append(lacking, strings.Join(missing, ", ")+" "+name)
		}
	}
	if len(lacking) > 0 {
		return lacking
	}
	return nil
}
