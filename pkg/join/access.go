// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/client-go/util/retry"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
)

// accessOf returns how a profile's access provider of ours leads to the cluster, nil if it has
// none.
func accessOf(profile *inventoryv1alpha1.ClusterProfile) *clientcmdv1.Cluster {
	for i := range profile.Status.AccessProviders {
		if provider := &profile.Status.AccessProviders[i]; provider.Name == configv1alpha1.DefaultProviderName {
			return &provider.Cluster
		}
	}
	return nil
}

// leadsElsewhere returns whether an access leads to another address than the member's, or has
// another CA.
func leadsElsewhere(access *clientcmdv1.Cluster, m *Member) bool {
	ca, err := endpoint.CleanBundle(access.CertificateAuthorityData)
	return err != nil || access.Server != m.Endpoint.Server || !bytes.Equal(ca, m.Endpoint.CertificateAuthorityData)
}

// accessReady makes the profile have the access providers, and leaves the rest of its status to its
// owners.
func (j *joiner) accessReady(ctx context.Context, o *Options) error {
	extensions := map[string]any{configv1alpha1.DefaultProviderName: member.SecretReference{
		Name: j.secretName, Key: kubeconfigKey, Namespace: hub.SystemNamespace,
	}}
	if o.Consumers != nil {
		request := o.Consumers.DeepCopy()
		request.TargetClusterProfile = multiclusterv1alpha1.ClusterProfileReference{Namespace: j.Namespace, Name: j.Name}
		extensions[consumersProvider] = request
	}
	var providers []any
	for _, name := range slices.Sorted(maps.Keys(extensions)) {
		extension, err := json.Marshal(extensions[name])
		if err != nil {
			return err
		}
		provider := inventoryv1alpha1.AccessProvider{Name: name, Cluster: clientcmdv1.Cluster{
			Server:                   o.Member.Endpoint.Server,
			CertificateAuthorityData: o.Member.Endpoint.CertificateAuthorityData,
			TLSServerName:            o.Member.Endpoint.TLSServerName,
			ProxyURL:                 o.Member.Endpoint.ProxyURL,
			Extensions:               []clientcmdv1.NamedExtension{{Name: execExtension, Extension: runtime.RawExtension{Raw: extension}}},
		}}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&provider)
		if err != nil {
			return err
		}
		providers = append(providers, content)
	}
	status := map[string]any{"accessProviders": providers}
	if err := j.doubtHealth(ctx, o, status); err != nil {
		return err
	}
	return j.statusReady(ctx, status)
}

// statusReady makes the profile have the access providers and conditions of status, beside those of
// others. It applies them. Where the hub's CustomResourceDefinition declares these lists without
// keys, which would replace them as a whole, it changes what is there.
func (j *joiner) statusReady(ctx context.Context, status map[string]any) error {
	profile := newObject(profileKind, j.Namespace, j.Name)
	profile.Object[statusPart] = status
	if j.DryRun != DryRunClient {
		switch replaces, err := j.replacesLists(ctx, profile); {
		case apierrors.IsNotFound(err) && j.DryRun == DryRunServer: // it would be made first
		case err != nil:
			return j.hub.failed("apply", refOf(profile)+" "+statusPart, err)
		case replaces:
			return retry.RetryOnConflict(retry.DefaultBackoff, func() error { return j.mergeStatus(ctx, status) })
		}
	}
	return j.hub.apply(ctx, FieldManager, profile, nil, statusPart)
}

// replacesLists returns whether the hub would replace lists of a profile's status as a whole. It
// has the hub say which fields an apply would own: of a list without keys, that is the list.
func (j *joiner) replacesLists(ctx context.Context, profile *unstructured.Unstructured) (bool, error) {
	profile = profile.DeepCopy()
	profile.SetGroupVersionKind(j.hub.served(profileKind))
	applied, err := j.hub.resource(profileKind, j.Namespace).Apply(ctx, j.Name, profile,
		metav1.ApplyOptions{FieldManager: FieldManager, Force: true, DryRun: []string{metav1.DryRunAll}}, statusPart)
	if err != nil {
		return false, err
	}
	for _, entry := range applied.GetManagedFields() {
		if entry.Manager != FieldManager || entry.Operation != metav1.ManagedFieldsOperationApply ||
			entry.Subresource != statusPart || entry.FieldsV1 == nil {
			continue
		}
		owned := &fieldpath.Set{}
		if err := owned.FromJSON(bytes.NewReader(entry.FieldsV1.GetRawBytes())); err != nil {
			return false, err
		}
		return slices.ContainsFunc(slices.Collect(maps.Keys(listKeys)), func(list string) bool {
			return owned.Has(fieldpath.MakePathOrDie(statusPart, list))
		}), nil
	}
	return true, nil // nobody says: what is merged keeps everything
}

// listKeys are the lists of a profile's status that join writes to, and what tells their entries
// apart.
var listKeys = map[string]string{"accessProviders": "name", "conditions": "type"}

// mergeStatus changes the entries of lists that status has, and keeps all others. It returns a
// conflict if somebody else has changed the profile meanwhile.
func (j *joiner) mergeStatus(ctx context.Context, status map[string]any) error {
	before, err := j.hub.get(ctx, profileKind, j.Namespace, j.Name)
	if err != nil {
		return err
	}
	if before == nil {
		return fmt.Errorf("hub: ClusterProfile %s has been deleted", j.profileName())
	}
	after := before.DeepCopy()
	for list, key := range listKeys {
		wanted, ok := status[list].([]any)
		if !ok {
			continue
		}
		present, _, err := unstructured.NestedSlice(before.Object, statusPart, list)
		if err == nil {
			err = unstructured.SetNestedSlice(after.Object, mergeLists(present, wanted, key), statusPart, list)
		}
		if err != nil {
			return fmt.Errorf("hub: %s: %w", refOf(before), err)
		}
	}
	what := refOf(before) + " " + statusPart
	if equalButForManagers(before, after) {
		j.hub.found(what, "unchanged")
		return nil
	}
	options := metav1.UpdateOptions{FieldManager: FieldManager}
	if j.DryRun == DryRunServer {
		options.DryRun = []string{metav1.DryRunAll}
	}
	if _, err := j.hub.resource(profileKind, j.Namespace).UpdateStatus(ctx, after, options); err != nil {
		return j.hub.failed("update", what, err)
	}
	j.hub.did("configured", what)
	return nil
}

// mergeLists returns the entries of present, with those of wanted in place of others of their key.
func mergeLists(present, wanted []any, key string) []any {
	merged := slices.Clone(present)
	for _, entry := range wanted {
		i := slices.IndexFunc(merged, func(there any) bool { return keyOf(there, key) == keyOf(entry, key) })
		if i < 0 {
			merged = append(merged, entry)
		} else {
			merged[i] = entry
		}
	}
	return merged
}

func keyOf(entry any, key string) any {
	fields, _ := entry.(map[string]any)
	return fields[key]
}

const (
	// reasonReady is why a member is healthy, by the controller manager.
	reasonReady = "Ready"
	// reasonRejoined is in place of it until the member was probed by the address that it is joined
	// with now. The status stays True: a new address is no reason for placements to drop a cluster.
	reasonRejoined = "Rejoined"
)

// doubtHealth adds to status, with which the profile gets another way to the member, that its
// condition ControlPlaneHealthy is of the one before. The controller manager probes then, and
// writes the reason anew. Nothing else would tell the two conditions apart: where the member is
// healthy by both ways, nothing changes.
func (j *joiner) doubtHealth(ctx context.Context, o *Options, status map[string]any) error {
	profile, err := j.profile(ctx)
	if err != nil || profile == nil {
		return err
	}
	healthy := apimeta.FindStatusCondition(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	access, m := accessOf(profile), &o.Member
	anotherWay := access == nil || leadsElsewhere(access, m) ||
		access.TLSServerName != m.Endpoint.TLSServerName || access.ProxyURL != m.Endpoint.ProxyURL
	switch {
	case healthy == nil || healthy.Status != metav1.ConditionTrue:
		return nil
	case healthy.Reason == reasonReady && anotherWay:
	case healthy.Reason == reasonRejoined: // nobody has probed it since
	default:
		return nil
	}
	doubtful := *healthy
	doubtful.Reason, doubtful.Message = reasonRejoined, "The member was joined with another address, CA or proxy, and not probed with it yet"
	condition, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&doubtful)
	status["conditions"] = []any{condition}
	return err
}
