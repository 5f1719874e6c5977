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
// nothing that the controller wrote before and want lacks.
func merge(have, want *corev1.Secret) *corev1.Secret {
	was, ok := noted(have)
	if !ok {
		was = managed(have)
	}
	claims := applied(have)
	next := have.DeepCopy()
	next.Labels = merged(have.Labels, want.Labels, func(key string) bool {
		return slices.Contains(was.Labels, key) && !claims.Has(fieldpath.MakePathOrDie("metadata", "labels", key))
	})
	next.Annotations = merged(have.Annotations, want.Annotations, func(key string) bool {
		return isOurs(key) || slices.Contains(was.Annotations, key) && !claims.Has(fieldpath.MakePathOrDie("metadata", "annotations", key))
	})
	next.Data = merged(have.Data, want.Data, func(key string) bool {
		return slices.Contains(was.Data, key) && !claims.Has(fieldpath.MakePathOrDie("data", key))
	})
	return next
}

// merged returns the entries of have without those to drop, and those of want.
func merged[V any](have, want map[string]V, loses func(key string) bool) map[string]V {
	next := map[string]V{}
	for key, value := range have {
		if !loses(key) {
			next[key] = value
		}
	}
	maps.Copy(next, want)
	return next
}

// managed returns the keys by the manager of the digest of the content: a release that did not note
// its keys.
func managed(secret *corev1.Secret) keys {
	var of keys
	for _, entry := range secret.ManagedFields {
		fields := fieldsOf(entry)
		if !fields.Has(fieldpath.MakePathOrDie("metadata", "annotations", annotationContent)) {
			continue
		}
		for key := range secret.Labels {
			if fields.Has(fieldpath.MakePathOrDie("metadata", "labels", key)) {
				of.Labels = append(of.Labels, key)
			}
		}
		for key := range secret.Annotations {
			if fields.Has(fieldpath.MakePathOrDie("metadata", "annotations", key)) {
				of.Annotations = append(of.Annotations, key)
			}
		}
		for key := range secret.Data {
			if fields.Has(fieldpath.MakePathOrDie("data", key)) {
				of.Data = append(of.Data, key)
			}
		}
	}
	return of
}

// applied returns the keys that others own by server-side apply, which the controller does not use:
// these stay.
func applied(secret *corev1.Secret) *fieldpath.Set {
	claims := &fieldpath.Set{}
	for _, entry := range secret.ManagedFields {
		if entry.Operation == metav1.ManagedFieldsOperationApply {
			claims = claims.Union(fieldsOf(entry))
		}
	}
	return claims
}

func fieldsOf(entry metav1.ManagedFieldsEntry) *fieldpath.Set {
	fields := &fieldpath.Set{}
	if entry.FieldsV1 == nil || fields.FromJSON(bytes.NewReader(entry.FieldsV1.GetRawBytes())) != nil {
		return &fieldpath.Set{}
	}
	return fields
}
