// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// profileLog is what the watch of the inventory's namespace has told.
type profileLog struct {
	recorder recorder
	// namespace is what is watched.
	namespace string
	// versions has the resource version of each profile by its name, as the watch tells it.
	versions map[string]string
	// ids has the member id of each profile that was there.
	ids map[types.UID]string
	// strays are profiles of other namespaces in the watch, and changed those whose id has changed.
	strays, changed []string
}

// note takes in a profile. It is called under the recorder's lock.
func (l *profileLog) note(kind watch.EventType, object *unstructured.Unstructured, _ time.Time) error {
	if l.versions == nil {
		l.versions, l.ids = map[string]string{}, map[types.UID]string{}
	}
	name := object.GetNamespace() + "/" + object.GetName()
	if object.GetNamespace() != l.namespace && len(l.strays) < maxObjects {
		l.strays = append(l.strays, quote(name))
	}
	l.versions[name] = object.GetResourceVersion()
	if kind == watch.Deleted {
		delete(l.versions, name)
	}
	id, old := object.GetLabels()[labelMemberID], l.ids[object.GetUID()]
	if old != "" && id != old && len(l.changed) < maxObjects {
		l.changed = append(l.changed, fmt.Sprintf("%s had %s, and then %s", quote(name), quote(old), quote(id)))
	}
	l.ids[object.GetUID()] = id
	return nil
}
