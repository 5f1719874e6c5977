// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/test/testenv"
)

// The label inventory-member-id says which cluster a ClusterProfile is for.
func TestJoin_MemberID(t *testing.T) {
	profiles := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	label := func() string { return testenv.Get(t, profiles, "bravelion").Labels[v1alpha2.LabelInventoryMemberID] }
	again := []string{"join", "bravelion", "--member-context=bravelion", "--wait=false"}
	joined(t, "bravelion")
	system := testenv.Get(t, shared.Bravelion.Kube(t).CoreV1().Namespaces(), "kube-system")
	assert.Equal(t, string(system.UID), label(), "by default it is the UID of the member's namespace kube-system")

	mustClusterpass(t, append(again, "--member-id=lion-7")...)
	assert.Equal(t, "lion-7", label())
	mustClusterpass(t, again...)
	assert.Equal(t, "lion-7", label(), "joining again without the flag has changed it")

	testenv.Patch(t, profiles, "bravelion", `{"metadata":{"labels":{"`+v1alpha2.LabelInventoryMemberID+`":"theirs"}}}`)
	mustClusterpass(t, again...)
	assert.Equal(t, "theirs", label(), "joining again has taken over the value of somebody else")

	for name, test := range map[string]struct{ flag, want string }{
		"an id that is no label value": {"--member-id=a b", "--member-id is a label's value"},
		"the label as another one":     {"--labels=" + v1alpha2.LabelInventoryMemberID + "=a", "is set by --member-id"},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			_, err := clusterpass(t.Context(), append(again, test.flag)...)
			require.ErrorContains(t, err, test.want)
			assert.Equal(t, "theirs", label())
		})
	}
}
