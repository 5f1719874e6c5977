// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// parsed returns the flags that args give.
func parsed(t *testing.T, args ...string) *RequestFlags {
	t.Helper()
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags := &RequestFlags{}
	flags.AddFlags(set)
	require.NoError(t, set.Parse(args))
	return flags
}

// Flags win over a request.
func TestParseRequest_Flags(t *testing.T) {
	full := request()
	full.Namespace, full.TargetClusterProfile.Namespace, full.TargetClusterProfile.UID = "team", "default", "1"
	full.ClusterRoles = []v1alpha1.ClusterRole{{Name: "edit"}, {Name: "system:node-reader"}}
	full.Roles = []v1alpha1.Role{{Namespace: "a", Name: "b"}}
	full.Audiences = []string{"vault"}
	full.ExpirationSeconds = ptr.To[int64](900)
	for name, test := range map[string]struct {
		args []string
		want func(*Request)
	}{
		"without flags nothing changes": {want: func(*Request) {}},
		"the arguments of a request make that request": {args: full.Args(), want: func(r *Request) {
			target := r.TargetClusterProfile
			*r = full
			r.TargetClusterProfile = target
			r.TargetClusterProfile.UID = "1"
		}},
		"an empty role is none": {args: []string{"--cluster-role="}, want: func(r *Request) { r.ClusterRoles = nil }},
		"roles are replaced and not added": {args: []string{"--cluster-role=edit,admin"}, want: func(r *Request) {
			r.ClusterRoles = []v1alpha1.ClusterRole{{Name: "edit"}, {Name: "admin"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := request(), request()
			test.want(&want)
			require.NoError(t, parsed(t, test.args...).Apply(&got))
			assert.Equal(t, want, got)
		})
	}
	for _, role := range []string{"view", "/view", "default/"} {
		r := request()
		assert.ErrorContains(t, parsed(t, "--role="+role).Apply(&r), "NAMESPACE/NAME")
	}
}

// A flag of another form names the right one.
func TestParseRequest_WrongFlags(t *testing.T) {
	for arg, want := range map[string]string{
		"--service-account=team-a/work":           "--service-account=work --service-account-namespace=team-a",
		"--service-account-namespace=team-a/work": "--service-account=work --service-account-namespace=team-a",
		"--cluster-role=team-a/deployer":          "for a Role use --role=NAMESPACE/NAME",
		"--role=view":                             "is not NAMESPACE/NAME; for a ClusterRole, which has no namespace, use --cluster-role",
	} {
		t.Run(arg, func(t *testing.T) {
			r := request()
			assert.ErrorContains(t, parsed(t, arg).Apply(&r), want)
		})
	}
}

// A request without roles says so in its arguments.
func TestRequest_ArgsWithoutRoles(t *testing.T) {
	r := request()
	r.ClusterRoles = nil
	assert.Contains(t, r.Args(), "--cluster-role=")
	assert.True(t, parsed(t, r.Args()...).NamesRoles())
	assert.False(t, parsed(t, "--service-account=work").NamesRoles())
}

func TestOptions_Args(t *testing.T) {
	args, err := (&Options{}).Args()
	require.NoError(t, err)
	assert.Empty(t, args)

	given := Options{CacheDir: filepath.Join(t.TempDir(), "tokens"), MaxAge: 90 * time.Second}
	args, err = given.Args()
	require.NoError(t, err)
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	var got Options
	got.AddFlags(set)
	require.NoError(t, set.Parse(args))
	assert.Equal(t, given, got)
}
