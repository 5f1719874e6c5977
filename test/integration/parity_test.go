// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"

	"clusterpass.dev/test/integration/parity"
	"clusterpass.dev/test/testenv"
)

// TestParity sends the same requests to our server behind a hub and to a kube-apiserver with
// upstream's CRDs. The packages of the registry list the differences that hold for all objects.
func TestParity(t *testing.T) {
	withCRDs := testenv.Start(t, testenv.Options{Name: "crds"})
	parity.InstallCRDs(t, withCRDs.RESTConfig())
	upstream := parity.NewSide(t, withCRDs.RESTConfig())
	ours := parity.NewSide(t, shared.Hub.RESTConfig())

	for _, c := range parity.Cases(t) {
		t.Run(c.String(), func(t *testing.T) {
			theirs, got := upstream.Send(t, &c), ours.Send(t, &c)
			assert.Equal(t, c.CRD, theirs.Verdict, "upstream's CRD: %v", theirs.Err)
			assert.Equal(t, c.Ours(), got.Verdict, "our server: %v", got.Err)
			if theirs.Err != nil || got.Err != nil || c.ContentDiffers {
				return
			}
			assert.Empty(t, cmp.Diff(theirs.Content, got.Content), "-CRD +our server")
			assert.Empty(t, cmp.Diff(theirs.Applied, got.Applied), "-CRD +our server")
		})
	}
}
