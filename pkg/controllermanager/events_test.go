// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package controllermanager

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// maxInstance is how long the reportingInstance of an event may be, which is made of this program's
// name and its host's.
const maxInstance = 128

// TestEvents_LongestNames is about names that client-go makes, and that no hub would store if they
// were too long.
func TestEvents_LongestNames(t *testing.T) {
	stored := make(chan *eventsv1.Event, 2)
	hub := fake.NewClientset()
	hub.PrependReactor("create", "events", func(action clienttesting.Action) (bool, runtime.Object, error) {
		event := action.(clienttesting.CreateAction).GetObject().(*eventsv1.Event)
		stored <- event
		return true, event, nil
	})
	scheme := runtime.NewScheme()
	require.NoError(t, inventoryv1alpha1.AddToScheme(scheme))
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: hub.EventsV1()})
	require.NoError(t, broadcaster.StartRecordingToSinkWithContext(t.Context()))
	t.Cleanup(broadcaster.Shutdown)
	recorder := broadcaster.NewRecorder(scheme, name)

	names := map[string]bool{}
	for _, last := range []string{"a", "b"} {
		profile := &inventoryv1alpha1.ClusterProfile{}
		profile.Namespace, profile.Name = strings.Repeat("n", 63), strings.Repeat("c", 252)+last
		recorder.Eventf(profile, nil, corev1.EventTypeNormal, "Tested", "Test", "tested")
		event := <-stored
		assert.Empty(t, validation.IsDNS1123Subdomain(event.Name))
		assert.Equal(t, profile.Name, event.Regarding.Name)
		assert.LessOrEqual(t, len(name)+1+validation.DNS1123LabelMaxLength, maxInstance)
		names[event.Name] = true
	}
	assert.Len(t, names, 2)
}
