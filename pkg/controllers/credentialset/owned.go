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

// keys are those of a Secret that the controller has written. What else is there is others': their labels and annotations, the keys
// of a consumer, finalizers and owners.
//
// They are noted in the Secret and merged by an update of the version that was read. Server-side apply would take another verb in each namespace
// that has allowed the controller to write Secrets, and would write into a Secret that somebody else makes in the moment before.
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

// note has a Secret that is about to be written say which keys are the controller's, and what is in them.
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

// isOurs says whether an annotation is always the controller's.
func isOurs(key string) bool { return strings.HasPrefix(key, annotationPrefix) }

// noted returns the keys that a Secret notes; false where it notes none.
func noted(secret *corev1.Secret) (keys, bool) {
	var of keys
	is := secret.Annotations[annotationKeys]
	return of, is != "" && json.Unmarshal([]byte(is), &of) == nil
}

// checksum is a digest of what is in a Secret by the keys that are the controller's.
func checksum(secret *corev1.Secret, of keys) string {
	annotations := only(secret.Annotations, of.Annotations)
	for key, value := range secret.Annotations {
		if isOurs(key) && !slices.Contains([]string{annotationChecksum, annotationFound, annotationServer, annotationName}, key) {
			annotations[key] = value
		}
	}
	return digest([]any{only(secret.Data, of.Data), only(secret.Labels, of.Labels), annotations})
}

// found is a digest of what is there of what was written, and isAsWritten says whether it is that of what was written.
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

// only returns what of has by keys, never nil: so did those have it who did not note their keys.
func only[V any](of map[string]V, keys []string) map[string]V {
	some := map[string]V{}
	for _, key := range keys {
		if value, ok := of[key]; ok {
			some[key] = value
		}
	}
	return some
}

// merge returns have as it is to be written: with what want says, without what the controller has written and want does not say,
// and with all of others.
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

// merged returns what have has and may not lose, and what want has.
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

// managed returns what was written by whoever has written the digest of the content: a release that did not note its keys.
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

// applied returns what somebody says by server-side apply, which the controller does not use: they go on saying it.
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
