// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

// maxAccessEvents bounds how many events of one reason are read. Whoever may create events in a
// namespace can make more.
const maxAccessEvents = 5000

// accessFailures are what the controller manager says, in events, of the access to members whose
// profiles other managers keep: the notes of failures that have not ended, by the UID of the
// profile. Users who may create events can make up others, so they are only hints.
func (e *examination) accessFailures(ctx context.Context) (map[types.UID]string, error) {
	latest := map[types.UID]*corev1.Event{}
	for _, reason := range []string{member.EventAccessFailed, member.EventAccessRestored} {
		list, err := e.Kubernetes.CoreV1().Events(metav1.NamespaceAll).List(ctx, metav1.ListOptions{
			FieldSelector: fields.OneTermEqualSelector("reason", reason).String(), Limit: maxAccessEvents,
		})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			event := &list.Items[i]
			of := event.InvolvedObject.UID
			if event.Reason == reason && event.InvolvedObject.Kind == kindProfile &&
				(latest[of] == nil || lastSeen(latest[of]).Before(lastSeen(event))) {
				latest[of] = event
			}
		}
	}
	failures := map[types.UID]string{}
	for of, event := range latest {
		if event.Reason == member.EventAccessFailed {
			failures[of] = words.Message(event.Message) + ", as of " + lastSeen(event).UTC().Format(time.RFC3339)
		}
	}
	return failures, nil
}

// lastSeen returns when what an event says was last so.
func lastSeen(event *corev1.Event) time.Time {
	switch {
	case event.Series != nil:
		return event.Series.LastObservedTime.Time
	case !event.EventTime.IsZero():
		return event.EventTime.Time
	default:
		return event.LastTimestamp.Time
	}
}
