// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package multikueue tells Kueue of the clusters of a ClusterCredentialSet: it keeps a
// MultiKueueCluster for each, a MultiKueueConfig and an AdmissionCheck. It writes what the set's
// author may write, and nothing that is another's.
package multikueue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/dynamic/dynamiclister"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/kueue"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/ondemand"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/rights"
	"clusterpass.dev/pkg/words"
)

// verbs are the rights that the controller manager needs on Kueue's objects.
var verbs = []string{"get", "list", "watch", "create", "update", "delete"}

// Keeper keeps Kueue's objects. It watches them once a set is about them: a hub may not have them.
type Keeper struct {
	hub       kubernetes.Interface
	objects   dynamic.Interface
	informers *ondemand.Informers[map[kind]dynamiclister.Lister]
}

// New returns a Keeper that asks hub what is allowed, and keeps objects. Once they are needed, it
// watches them until ctx ends, and calls changed with the UID, and NAMESPACE/NAME, of a set whose
// objects have changed.
func New(ctx context.Context, hub kubernetes.Interface, objects dynamic.Interface, changed func(set types.UID, name string)) *Keeper {
	k := &Keeper{hub: hub, objects: objects}
	k.informers = ondemand.New(ctx, k.open, loop.Always(func(obj any) {
		if object, ok := loop.Object[*unstructured.Unstructured](obj); ok {
			changed(types.UID(object.GetLabels()[v1alpha1.LabelCredentialSetUID]), object.GetAnnotations()[annotationSet])
		}
	}), errors.New("the objects of Kueue are not read yet"))
	return k
}

// open returns the informers of the objects of sets, with their listers, or the error of usable.
func (k *Keeper) open(ctx context.Context, namespace string) (map[kind]dynamiclister.Lister, []cache.SharedIndexInformer, error) {
	if err := k.usable(ctx); err != nil {
		return nil, nil, err
	}
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(k.objects, 0, namespace, func(options *metav1.ListOptions) {
		options.LabelSelector = v1alpha1.LabelCredentialSetUID
	})
	listers := map[kind]dynamiclister.Lister{}
	var informers []cache.SharedIndexInformer
	for _, of := range kinds {
		informer := factory.ForResource(of.resource).Informer()
		listers[of] = dynamiclister.New(informer.GetIndexer(), of.resource)
		informers = append(informers, informer)
	}
	return listers, informers, nil
}

// usable returns nil if the hub has Kueue, and the controller manager may write its objects. If it
// may not, the error says how to allow it.
func (k *Keeper) usable(ctx context.Context) error {
	err := kueue.Usable(ctx, k.hub, verbs, kueue.AdmissionChecks, kueue.MultiKueueConfigs, kueue.MultiKueueClusters)
	if _, ok := errors.AsType[kueue.ForbiddenError](err); ok {
		return fmt.Errorf("%w. To allow it: kubectl create clusterrolebinding clusterpass-multikueue "+
			"--clusterrole=clusterpass:multikueue --serviceaccount=clusterpass-system:clusterpass-controller-manager", err)
	}
	return err
}

// Sync has Kueue know workers of set, in this order, as far as a MultiKueueConfig can hold them,
// and no others. It returns the condition MultiKueueReady, with an error, too, where it is to be
// called again.
func (k *Keeper) Sync(ctx context.Context, set *v1alpha1.ClusterCredentialSet, workers []Worker) (metav1.Condition, error) {
	listers, err := k.informers.Start(ctx, metav1.NamespaceAll)
	if err != nil {
		return blocked(set, err), err
	}
	p := &pass{Keeper: k, set: set, listers: listers}
	err = p.run(ctx, workers)
	return p.condition(len(workers), err), err
}

// Remove deletes all that set has of Kueue's objects.
func (k *Keeper) Remove(ctx context.Context, set *v1alpha1.ClusterCredentialSet) error {
	err := k.usable(ctx)
	if errors.Is(err, kueue.ErrNotInstalled) {
		return nil
	}
	if err != nil {
		return err
	}
	selector := credentialset.Selector(set)
	for _, of := range kinds {
		list, err := k.objects.Resource(of.resource).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
		if err != nil {
			return err
		}
		for i := range list.Items {
			if err := k.remove(ctx, of, &list.Items[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *Keeper) remove(ctx context.Context, of kind, object *unstructured.Unstructured) error {
	if object.GetDeletionTimestamp() != nil {
		return nil
	}
	err := k.objects.Resource(of.resource).Delete(ctx, object.GetName(), *metav1.NewPreconditionDeleteOptions(string(object.GetUID())))
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// pass is one comparison of a set with its objects.
type pass struct {
	*Keeper
	set     *v1alpha1.ClusterCredentialSet
	listers map[kind]dynamiclister.Lister
	// kept are the names of the clusters that Kueue knows for the set, in their order.
	kept []string
	// taken are objects of others that have the names of the set's.
	taken []string
	// lacking is what the author may not.
	lacking []string
}

// run writes first what others refer to, and deletes it last.
func (p *pass) run(ctx context.Context, workers []Worker) error {
	var errs []error
	for _, w := range workers {
		if len(p.kept) == v1alpha1.MaxMultiKueueClusters {
			break
		}
		kept, err := p.keep(ctx, clusterKind, newCluster(p.set, w))
		if kept {
			p.kept = append(p.kept, w.Name)
		}
		errs = append(errs, err)
	}
	if len(p.kept) > 0 {
		_, err := p.keep(ctx, configKind, newConfig(p.set, p.kept))
		errs = append(errs, err)
	}
	_, err := p.keep(ctx, checkKind, newCheck(p.set))
	return errors.Join(append(errs, err, p.prune(ctx))...)
}

// keep has want there, and says whether an object of the set is there by its name. It reads objects
// of all sets as of the last event.
func (p *pass) keep(ctx context.Context, of kind, want *unstructured.Unstructured) (bool, error) {
	have, err := p.listers[of].Get(want.GetName())
	switch {
	case apierrors.IsNotFound(err):
		return p.create(ctx, of, want)
	case err != nil:
		return false, err
	case have.GetDeletionTimestamp() != nil:
		// It is made anew once it is gone. Kueue holds an AdmissionCheck back while a ClusterQueue names
		// it, and goes by it.
		return false, nil
	case !credentialset.Owns(p.set, have):
		p.taken = append(p.taken, of.name+" "+want.GetName())
		return false, nil
	}
	next, err := withSpec(have, want)
	if err != nil || equality.Semantic.DeepEqual(have, next) {
		return true, err
	}
	if ok, err := p.mayAuthor(ctx, "update", of, want.GetName()); !ok {
		return true, err
	}
	_, err = p.objects.Resource(of.resource).Update(ctx, next, metav1.UpdateOptions{})
	return true, err
}

func (p *pass) create(ctx context.Context, of kind, want *unstructured.Unstructured) (bool, error) {
	if ok, err := p.mayAuthor(ctx, "create", of, want.GetName()); !ok {
		return false, err
	}
	_, err := p.objects.Resource(of.resource).Create(ctx, want, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return err == nil, err
	}
	// It is not any set's, or newer than the cache.
	have, err := p.objects.Resource(of.resource).Get(ctx, want.GetName(), metav1.GetOptions{})
	if err != nil {
		return false, err
	}
	if credentialset.Owns(p.set, have) {
		return true, nil
	}
	p.taken = append(p.taken, of.name+" "+want.GetName())
	return false, nil
}

// mayAuthor returns whether the set's author may write an object, and remembers where not.
func (p *pass) mayAuthor(ctx context.Context, verb string, of kind, name string) (bool, error) {
	ok, err := rights.Of(ctx, p.hub, p.set.Spec.Author, authorizationv1.ResourceAttributes{
		Group: of.resource.Group, Version: of.resource.Version, Resource: of.resource.Resource, Verb: verb, Name: name,
	})
	if err == nil && !ok {
		p.lacking = append(p.lacking, fmt.Sprintf("%s on %s %q", verb, of.resource.GroupResource(), name))
	}
	return ok, err
}

// prune deletes what is of the set, and should not be.
func (p *pass) prune(ctx context.Context) error {
	wanted := map[kind][]string{clusterKind: p.kept, checkKind: {credentialset.ConfigName(p.set)}}
	if len(p.kept) > 0 {
		wanted[configKind] = wanted[checkKind]
	}
	var errs []error
	for _, of := range kinds {
		list, err := p.listers[of].List(credentialset.Selector(p.set))
		errs = append(errs, err)
		for _, object := range list {
			if !slices.Contains(wanted[of], object.GetName()) {
				errs = append(errs, p.remove(ctx, of, object))
			}
		}
	}
	return errors.Join(errs...)
}

// IsBlocked returns whether an error of Sync or Remove is one that somebody has to do something
// about, and returns the condition that says so.
func IsBlocked(set *v1alpha1.ClusterCredentialSet, err error) (metav1.Condition, bool) {
	if _, ok := errors.AsType[kueue.ForbiddenError](err); ok {
		return condition(set, v1alpha1.MultiKueueReasonForbidden, err.Error()), true
	}
	return metav1.Condition{}, false
}

// blocked is the condition of a set for which nothing was compared.
func blocked(set *v1alpha1.ClusterCredentialSet, err error) metav1.Condition {
	if blocked, ok := IsBlocked(set, err); ok {
		return blocked
	}
	if errors.Is(err, kueue.ErrNotInstalled) {
		return condition(set, v1alpha1.MultiKueueReasonNotInstalled, err.Error())
	}
	return condition(set, v1alpha1.MultiKueueReasonNotActive, err.Error())
}

// condition returns what has come of a pass over so many clusters, that ended with an error or nil.
func (p *pass) condition(workers int, err error) metav1.Condition {
	active, first := p.active()
	report := func(reason, format string, args ...any) metav1.Condition {
		return condition(p.set, reason, fmt.Sprintf(format, args...))
	}
	switch {
	case len(p.lacking) > 0:
		return report(v1alpha1.MultiKueueReasonForbidden, "its author %q lacks: %s",
			ptr.Deref(p.set.Spec.Author, v1alpha1.Author{}).Username, strings.Join(p.lacking, "; "))
	case len(p.taken) > 0:
		return report(v1alpha1.MultiKueueReasonNameTaken, "not this set's, and left alone: %s", strings.Join(p.taken, ", "))
	case err != nil:
		return report(v1alpha1.MultiKueueReasonNotActive, "%v", err)
	case len(p.kept) == 0:
		return report(v1alpha1.MultiKueueReasonNoClusters, "no cluster has a credential; a MultiKueueConfig can't be empty, so there is none")
	case active < len(p.kept):
		return report(v1alpha1.MultiKueueReasonNotActive, "Kueue is connected to %d of %d clusters; %s", active, len(p.kept), first)
	case workers > len(p.kept):
		return report(v1alpha1.MultiKueueReasonTooManyClusters, "Kueue is connected to %d of %d clusters: a MultiKueueConfig can't have more",
			active, workers)
	default:
		return report(v1alpha1.MultiKueueReasonActive, "Kueue is connected to %d clusters", active)
	}
}

// active counts the clusters that Kueue is connected to, and returns what it says of the first of
// the others.
func (p *pass) active() (count int, first string) {
	for _, name := range p.kept {
		says := "Kueue has not reported on it yet"
		if cluster, err := p.listers[clusterKind].Get(name); err == nil {
			if connected := connection(cluster); connected != nil {
				if connected.Status == metav1.ConditionTrue {
					count++
					continue
				}
				says = connected.Reason + ": " + connected.Message
			}
		}
		if first == "" {
			first = name + ": " + says
		}
	}
	return count, first
}

// condition returns the condition MultiKueueReady by one of its reasons.
func condition(set *v1alpha1.ClusterCredentialSet, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if reason == v1alpha1.MultiKueueReasonActive || reason == v1alpha1.MultiKueueReasonTooManyClusters {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{
		Type: v1alpha1.MultiKueueReady, Status: status, ObservedGeneration: set.Generation, Reason: reason,
		Message: words.Message(message),
	}
}
