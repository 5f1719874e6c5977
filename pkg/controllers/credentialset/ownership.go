// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"clusterpass.dev/pkg/credentialset/format"
)

// keys are those of a Secret that the controller has written. Everything else belongs to others:
// labels, annotations, keys of a consumer, finalizers and owners.
//
// They are noted in the Secret and merged by an update of the version that was read. Server-side
// apply would need another verb in each namespace that has allowed the controller to write Secrets,
// and would write into a Secret that somebody else creates just before.
type keys struct {
	Data        []string `json:"data,omitempty"`
	Labels      []string `json:"labels,omitempty"`
	Annotations []string `json:"annotations,omitempty"`
}

// unnoted are the keys of data that were written by releases which did not note them.
var unnoted = []string{
	format.KueueKey, format.ValueKey, format.ArgoCDNameKey, format.ArgoCDServerKey, format.ArgoCDConfigKey, format.TokenKey, format.CAKey,
	format.TLSServerNameKey, format.ProxyURLKey, format.ExpirationTimestampKey,
}

// note annotates a Secret with the keys that the controller writes, and with digests of their
// content.
func note(secret *corev1.Secret) error {
	of := keys{
		Data:        slices.Sorted(maps.Keys(secret.Data)),
		Labels:      slices.Sorted(maps.Keys(secret.Labels)),
		Annotations: slices.DeleteFunc(slices.Sorted(maps.Keys(secret.Annotations)), isOurs),
	}
	encoded, err := json.Marshal(of)
	if err != nil {
		return err
	}
	secret.Annotations[annotationKeys] = string(encoded)
	secret.Annotations[annotationChecksum] = checksum(secret, of)
	return nil
}

// isOurs returns whether an annotation always belongs to the controller.
func isOurs(key string) bool { return strings.HasPrefix(key, annotationPrefix) }

// noted returns the keys that a Secret notes; false if it notes none.
func noted(secret *corev1.Secret) (keys, bool) {
	var of keys
	encoded := secret.Annotations[annotationKeys]
	return of, encoded != "" && json.Unmarshal([]byte(encoded), &of) == nil
}

// checksum is a digest of the content of a Secret by the controller's keys.
func checksum(secret *corev1.Secret, of keys) string {
	annotations := only(secret.Annotations, of.Annotations)
	for key, value := range secret.Annotations {
		if isOurs(key) && !slices.Contains([]string{annotationChecksum, annotationFound, annotationServer, annotationName}, key) {
			annotations[key] = value
		}
	}
	return digest([]any{only(secret.Data, of.Data), only(secret.Labels, of.Labels), annotations})
}

// found is a digest of the present content of the keys that were written, and isAsWritten returns
// whether that is what was written.
func found(secret *corev1.Secret) string {
	if of, ok := noted(secret); ok {
		return checksum(secret, of)
	}
	return digest(only(secret.Data, unnoted))
}

func isAsWritten(secret *corev1.Secret) bool {
	written := secret.Annotations[annotationContent]
	if _, ok := noted(secret); ok {
		written = secret.Annotations[annotationChecksum]
	}
	return written == secret.Annotations[annotationFound]
}

// only returns the entries of a map by keys, never nil: releases that did not note their keys had
// it so.
func only[V any](of map[string]V, keys []string) map[string]V {
	some := map[string]V{}
	for _, key := range keys {
		if value, ok := of[key]; ok {
			some[key] = value
		}
	}
	return some
}

// merge returns the Secret to write: everything of want, everything of have that others wrote, and
// nothing that the controller wrote before and want lacks. What others own by server-side apply,
// which the controller does not use, stays.
func merge(have, want *corev1.Secret) *corev1.Secret {
	was, ok := noted(have)
	if !ok {
		// A release that did not note its keys was the manager of the digest of the content.
		content := fieldpath.MakePathOrDie("metadata", "annotations", annotationContent)
		was = keysOf(have, func(_ metav1.ManagedFieldsEntry, fields *fieldpath.Set) bool { return fields.Has(content) })
	}
	claimed := keysOf(have, func(entry metav1.ManagedFieldsEntry, _ *fieldpath.Set) bool {
		return entry.Operation == metav1.ManagedFieldsOperationApply
	})
	next := have.DeepCopy()
	next.Data = merged(have.Data, want.Data, was.Data, claimed.Data)
	next.Labels = merged(have.Labels, want.Labels, was.Labels, claimed.Labels)
	others := maps.Clone(have.Annotations)
	maps.DeleteFunc(others, func(key, _ string) bool { return isOurs(key) })
	next.Annotations = merged(others, want.Annotations, was.Annotations, claimed.Annotations)
	return next
}

// merged returns the entries of want, and those of have that the controller has not written, or
// that others have claimed.
func merged[V any](have, want map[string]V, written, claimed []string) map[string]V {
	next := map[string]V{}
	for key, value := range have {
		if slices.Contains(claimed, key) || !slices.Contains(written, key) {
			next[key] = value
		}
	}
	maps.Copy(next, want)
	return next
}

// keysOf returns the keys of a Secret that its managers of a kind own.
func keysOf(secret *corev1.Secret, of func(entry metav1.ManagedFieldsEntry, fields *fieldpath.Set) bool) keys {
	owned := &fieldpath.Set{}
	for _, entry := range secret.ManagedFields {
		fields := &fieldpath.Set{}
		if entry.FieldsV1 != nil && fields.FromJSON(bytes.NewReader(entry.FieldsV1.GetRawBytes())) == nil && of(entry, fields) {
			owned = owned.Union(fields)
		}
	}
	return keys{
		Data:        ownedKeys(secret.Data, owned, "data"),
		Labels:      ownedKeys(secret.Labels, owned, "metadata", "labels"),
		Annotations: ownedKeys(secret.Annotations, owned, "metadata", "annotations"),
	}
}

func ownedKeys[V any](of map[string]V, owned *fieldpath.Set, path ...any) []string {
	return slices.DeleteFunc(slices.Collect(maps.Keys(of)), func(key string) bool {
		return !owned.Has(fieldpath.MakePathOrDie(slices.Concat(path, []any{key})...))
	})
}
