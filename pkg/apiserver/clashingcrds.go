// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	informers "k8s.io/apiextensions-apiserver/pkg/client/informers/externalversions/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"clusterpass.dev/pkg/hub"
)

// clashingCRDs watches for CustomResourceDefinitions of the hub that clash with what this server
// serves (see hub.Clashes). An APIService replaces a group-version as a whole. With both, the
// resources of a CRD become unreachable. The hub's OpenAPI then has one of the two at random, or
// none after a restart of kube-apiserver.
type clashingCRDs struct {
	*follower
	// logged are the names in the last log message. The informer calls its handler from one goroutine.
	logged []string
}

func newClashingCRDs(hub apiextensions.Interface) (*clashingCRDs, error) {
	informer := informers.NewCustomResourceDefinitionInformer(hub, 0, cache.Indexers{})
	f, err := newFollower("clusterpass-inventory-crds", informer, withoutSchemas, explainCRDs)
	if err != nil {
		return nil, fmt.Errorf("informer for the hub's CustomResourceDefinitions: %w", err)
	}
	return &clashingCRDs{follower: f}, nil
}

// withoutSchemas reduces a CRD to its name, its group, its resource and its versions.
func withoutSchemas(object any) (any, error) {
	crd, ok := object.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return object, nil
	}
	reduced := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: crd.Name, UID: crd.UID, ResourceVersion: crd.ResourceVersion},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: crd.Spec.Group,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: crd.Spec.Names.Plural},
		},
	}
	for _, version := range crd.Spec.Versions {
		reduced.Spec.Versions = append(reduced.Spec.Versions,
			apiextensionsv1.CustomResourceDefinitionVersion{Name: version.Name, Served: version.Served})
	}
	return reduced, nil
}

// names returns the sorted names of the CRDs that clash.
func (c *clashingCRDs) names() []string {
	var names []string
	for _, object := range c.GetStore().List() {
		if crd, ok := object.(*apiextensionsv1.CustomResourceDefinition); ok && hub.Clashes(crd) {
			names = append(names, crd.Name)
		}
	}
	slices.Sort(names)
	return names
}

// RunWithContext implements hubWatch. It logs when a clash begins, at the start or later, and when
// it ends.
func (c *clashingCRDs) RunWithContext(ctx context.Context) {
	logger := klog.FromContext(ctx)
	changed := func() { c.log(logger) }
	if _, err := c.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed() },
		UpdateFunc: func(any, any) { changed() },
		DeleteFunc: func(any) { changed() },
	}); err != nil {
		logger.Error(err, "Clashing CustomResourceDefinitions will not be logged")
	}
	c.follower.RunWithContext(ctx)
}

func (c *clashingCRDs) log(logger klog.Logger) {
	names := c.names()
	if slices.Equal(names, c.logged) {
		return
	}
	c.logged = names
	if len(names) == 0 {
		logger.Info("No CustomResourceDefinition clashes any more")
		return
	}
	logger.Error(clashError(names), "Not ready: CustomResourceDefinitions clash with this server", "customResourceDefinitions", names)
}

// Check implements hubWatch: it fails while any CRD clashes, or while this is unknown.
func (c *clashingCRDs) Check(r *http.Request) error {
	if err := c.follower.Check(r); err != nil {
		return err
	}
	if names := c.names(); len(names) > 0 {
		return clashError(names)
	}
	return nil
}

// explainCRDs returns an error that says why it is unknown whether CRDs clash.
func explainCRDs(err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("cannot tell whether CustomResourceDefinitions clash with this server: "+
			"it needs list and watch on them, see artifacts/deploy/rbac: %w", err)
	}
	return fmt.Errorf("the hub's CustomResourceDefinitions are not read yet: %w", err)
}

// clashError returns an error with the problem and its solution.
func clashError(names []string) error {
	var versions []string
	for _, gv := range hub.InventoryVersions {
		versions = append(versions, gv.String())
	}
	return fmt.Errorf("the hub has CustomResourceDefinitions that clash with %s, which this server serves as a whole: %s. "+
		"Beside it their resources of these versions can't be reached and the hub's OpenAPI breaks, "+
		"and ClusterProfiles and PlacementDecisions of any other version would be a second inventory. "+
		"Export their objects and remove them, or run with --inventory=%s and without the APIServices %s, see docs/migration.md",
		strings.Join(versions, " and "), strings.Join(names, ", "), hub.InventoryExternal, strings.Join(hub.InventoryServices(), " and "))
}
