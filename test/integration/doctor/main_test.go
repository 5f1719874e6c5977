// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package doctor tests that what is wrong with an installation is found, named and mended as it is
// said: on a real hub with a real member, one broken thing at a time.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// shared is what the tests share: a hub with one member. Each test leaves it as it was.
var shared testenv.Fleet

func TestMain(m *testing.M) {
	shared.Main(m, testenv.FleetConfig{Members: 1, Server: &testenv.ServerConfig{}, Manager: &testenv.ControllerManagerConfig{}})
}

// options are those of an installation as testenv makes it. Tokens of mint are asked for.
func options(mint ...types.NamespacedName) doctor.Options {
	return doctor.Options{
		ServerUser: doctor.DefaultServerUser, ManagerUser: doctor.DefaultManagerUser,
		Namespace: "default", Access: member.DefaultConfig(), MintNamespace: "default", Mint: mint,
	}
}

var defaultBravelion = types.NamespacedName{Namespace: "default", Name: "bravelion"}

// diagnose runs all checks with the rights of config's user. No finding has a token.
func diagnose(t *testing.T, config *rest.Config, options doctor.Options) []doctor.Finding {
	t.Helper()
	found := doctor.Run(t.Context(), testenv.Must[*doctor.Clients](t)(doctor.NewClients(config)), options)
	require.NotContains(t, printed(t, found), "eyJ", "it shows a token")
	return found
}

func printed(t *testing.T, found []doctor.Finding) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, doctor.Print(&out, found))
	return out.String()
}

// expected is a finding by parts of it.
type expected struct {
	check   string
	verdict doctor.Verdict
	about   string
	message string
	mend    string
}

func (e expected) is(f doctor.Finding) bool {
	return f.Check == e.check && f.Verdict == e.verdict && strings.Contains(f.About, e.about) &&
		strings.Contains(f.Message, e.message) && strings.Contains(f.Mend, e.mend)
}

// expect waits until the hub's admin finds what is expected.
func expect(t *testing.T, options doctor.Options, wanted expected) {
	t.Helper()
	eventually(t, options, func(found []doctor.Finding) error {
		if slices.ContainsFunc(found, wanted.is) {
			return nil
		}
		return fmt.Errorf("no %+v", wanted)
	})
}

// expectNothing waits until no check fails.
func expectNothing(t *testing.T) {
	t.Helper()
	eventually(t, options(), func(found []doctor.Finding) error {
		if doctor.Worst(found) == doctor.Fail {
			return errors.New("something fails")
		}
		return nil
	})
}

func eventually(t *testing.T, options doctor.Options, check func([]doctor.Finding) error) {
	t.Helper()
	testenv.Eventually(t, func(context.Context) error {
		found := diagnose(t, shared.Hub.RESTConfig(), options)
		if err := check(found); err != nil {
			return fmt.Errorf("%w\n%s", err, printed(t, found))
		}
		return nil
	})
}
