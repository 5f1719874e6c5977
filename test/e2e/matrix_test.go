// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// The forms of a request.
const (
	requests = "authtokenrequests.multicluster.x-k8s.io"
	twin     = "authtokenrequests.clusterpass.dev"
	token    = "clusterprofiles/token"
)

// asked is what a request asks for, but for the cluster: by default for a ServiceAccount named for
// the user and this.
type asked struct {
	change func(spec *v1alpha1.AuthTokenRequestSpec)
	// may and mayNot are what kubectl can and can't do with the token, on the cluster that it is for.
	// Nil: it is not tried.
	may, mayNot [][]string
}

type spec = v1alpha1.AuthTokenRequestSpec

func clusterRole(name string) func(*spec) {
	return func(s *spec) { s.ClusterRoles = []v1alpha1.ClusterRole{{Name: name}} }
}

func both(one, other func(*spec)) func(*spec) {
	return func(s *spec) {
		one(s)
		other(s)
	}
}

func words(commands ...string) [][]string {
	var all [][]string
	for _, command := range commands {
		all = append(all, strings.Fields(command))
	}
	return all
}

// asks are what the persons of the matrix ask for, by the words in its table.
var asks = map[string]asked{
	"view": {
		change: clusterRole("view"),
		may:    words("get pods -A", "get configmaps -n kube-system"),
		mayNot: words("get secrets -n default", "create configmap x -n default", "get clusterroles"),
	},
	"edit": {
		change: clusterRole("edit"),
		may:    words("get secrets -n default", "create configmap x -n default --dry-run=server"),
		mayNot: words("create rolebinding x --clusterrole=edit --user=x -n default", "get clusterroles", "create namespace x"),
	},
	"cluster-admin": {change: clusterRole("cluster-admin")},
	"no role":       {change: func(*spec) {}, mayNot: words("get pods -n default", "get namespaces", "get secrets -n default")},
	"deployer": {
		change: func(s *spec) { s.Roles = []v1alpha1.Role{{Namespace: "default", Name: "deployer"}} },
		may:    words("get deployments -n default"),
		mayNot: words("get deployments -n kube-system", "get pods -n default", "delete deployment x -n default"),
	},
	"rules": {
		change: func(s *spec) {
			s.Roles = []v1alpha1.Role{{Namespace: "default", Name: "maps", Rules: []rbacv1.PolicyRule{
				{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"configmaps"}},
			}}}
		},
		may:    words("get configmaps -n default"),
		mayNot: words("get configmaps -n kube-system", "get pods -n default", "create configmap x -n default"),
	},
	"view for vault": {change: both(clusterRole("view"), func(s *spec) { s.Audiences = []string{"vault"} })},
	"every audience": {change: func(s *spec) { s.Audiences = []string{"*"} }},
	"a slash":        {change: clusterRole("edit/../cluster-admin")},
	"21 roles": {change: func(s *spec) {
		for i := range 21 {
			s.ClusterRoles = append(s.ClusterRoles, v1alpha1.ClusterRole{Name: fmt.Sprintf("role-%d", i)})
		}
	}},
	"kube-system": {change: func(s *spec) { s.ServiceAccountNamespace = metav1.NamespaceSystem }},
	// The accounts of others.
	"powerful":          {change: func(s *spec) { s.ServiceAccountName = "powerful" }},
	"powerful and edit": {change: both(clusterRole("edit"), func(s *spec) { s.ServiceAccountName = "powerful" })},
	"view as rita's":    {change: both(clusterRole("view"), func(s *spec) { s.ServiceAccountName = "team-red-rita-edit" })},
	"deployer as rita's": {change: func(s *spec) {
		s.Roles = []v1alpha1.Role{{Namespace: "default", Name: "deployer"}}
		s.ServiceAccountName = "team-red-rita-edit"
	}},
	// Other clusters than the one of the URL or of the namespace.
	"a replaced cluster": {change: both(clusterRole("edit"), func(s *spec) { s.TargetClusterProfile.UID = "an-uid-of-old" })},
	"edit on smartfish":  {change: both(clusterRole("edit"), func(s *spec) { s.TargetClusterProfile.Name = "smartfish" })},
	"view of team-red":   {change: both(clusterRole("view"), func(s *spec) { s.TargetClusterProfile.Namespace = "team-red" })},
}

// entry is one line of the matrix: who asks in which team's namespace for what on which cluster.
type entry struct {
	user, team, cluster, asks, form string
	dryRun                          bool
	code                            int
	// words are in the refusal.
	words string
}

func (e entry) String() string {
	how := e.form
	if e.dryRun {
		how += " dry run"
	}
	return fmt.Sprintf("%s asks %s %s for %s by %s", e.user, e.team, e.cluster, e.asks, how)
}

// gives says whether the answer is a token.
func (e entry) gives() bool { return e.code == http.StatusCreated && !e.dryRun }

const dry = true

// matrix has every line of the roles, of the forms, and of what is refused for each of the reasons.
// Dry runs ask no member, hence can't say what it would refuse.
var matrix = []entry{
	// rita: edit, and the Role deployer, on both clusters of team-red.
	{"rita", "team-red", "bravelion", "edit", requests, false, 201, ""},
	{"rita", "team-red", "bravelion", "edit", twin, false, 201, ""},
	{"rita", "team-red", "bravelion", "edit", token, false, 201, ""},
	{"rita", "team-red", "bravelion", "edit", requests, dry, 201, ""},
	{"rita", "team-red", "bravelion", "edit", twin, dry, 201, ""},
	{"rita", "team-red", "bravelion", "edit", token, dry, 201, ""},
	{"rita", "team-red", "smartfish", "edit", token, false, 201, ""},
	{"rita", "team-red", "bravelion", "deployer", token, false, 201, ""},
	{"rita", "team-red", "smartfish", "deployer", requests, false, 422, "default/deployer"},
	{"rita", "team-red", "smartfish", "deployer", requests, dry, 201, ""},
	{"rita", "team-red", "bravelion", "view", requests, false, 403, "lacks: bind:view on"},
	{"rita", "team-red", "bravelion", "view", token, dry, 403, "lacks: bind:view on"},
	{"rita", "team-red", "bravelion", "cluster-admin", token, false, 403, "lacks: bind:cluster-admin on"},
	{"rita", "team-red", "smartfish", "cluster-admin", twin, dry, 403, "lacks: bind:cluster-admin on"},
	{"rita", "team-red", "bravelion", "rules", twin, false, 403, "lacks: escalate on"},
	{"rita", "team-red", "bravelion", "view for vault", requests, false, 403, "lacks: audience:vault on"},
	{"rita", "team-red", "nowhere", "edit", requests, false, 403, "lacks: create on clusterprofiles/token"},
	{"rita", "team-red", "bravelion", "kube-system", requests, false, 422, "spec.serviceAccountNamespace"},
	{"rita", "team-red", "bravelion", "a slash", token, false, 422, "spec.clusterRoles[0].name"},
	{"rita", "team-red", "bravelion", "a slash", twin, dry, 422, "spec.clusterRoles[0].name"},
	{"rita", "team-red", "bravelion", "edit on smartfish", token, false, 422, "must be the ClusterProfile of the URL"},
	{"rita", "team-red", "bravelion", "powerful", twin, false, 409, "was not made by clusterpass"},
	{"rita", "team-red", "bravelion", "powerful and edit", requests, false, 409, "was not made by clusterpass"},
	{"rita", "team-red", "bravelion", "powerful and edit", requests, dry, 201, ""},
	{"rita", "team-red", "bravelion", "a replaced cluster", requests, false, 409, "the cluster has been replaced"},
	{"rita", "team-red", "bravelion", "a replaced cluster", token, dry, 409, "the cluster has been replaced"},
	{"rita", "team-red", "bravelion", "deployer as rita's", token, false, 409, "may not update it"},
	{"rita", "team-blue", "bravelion", "edit", requests, false, 403, "cannot create resource"},
	{"rita", "team-blue", "bravelion", "edit", token, false, 403, "cannot create resource"},
	{"rita", "team-blue", "smartfish", "edit", twin, dry, 403, "cannot create resource"},
	{"rita", "default", "bravelion", "edit", requests, false, 403, "cannot create resource"},

	// bob: view, rules of his own and the audience vault, on bravelion of team-blue.
	{"bob", "team-blue", "bravelion", "view", requests, false, 201, ""},
	{"bob", "team-blue", "bravelion", "view", token, dry, 201, ""},
	{"bob", "team-blue", "bravelion", "rules", twin, false, 201, ""},
	{"bob", "team-blue", "bravelion", "rules", token, false, 201, ""},
	{"bob", "team-blue", "bravelion", "view for vault", requests, false, 201, ""},
	{"bob", "team-blue", "bravelion", "edit", requests, false, 403, "lacks: bind:edit on"},
	{"bob", "team-blue", "bravelion", "edit", token, dry, 403, "lacks: bind:edit on"},
	{"bob", "team-blue", "bravelion", "deployer", twin, false, 403, "lacks: bind-role:default:deployer on"},
	{"bob", "team-blue", "bravelion", "cluster-admin", token, false, 403, "lacks: bind:cluster-admin on"},
	{"bob", "team-blue", "smartfish", "view", requests, false, 403, "lacks: create on clusterprofiles/token"},
	{"bob", "team-blue", "smartfish", "rules", token, false, 403, "cannot create resource"},
	{"bob", "team-blue", "nowhere", "view", token, false, 403, "cannot create resource"},
	{"bob", "team-blue", "bravelion", "view of team-red", requests, false, 403, `"bravelion" in namespace "team-red"`},
	{"bob", "team-blue", "bravelion", "view of team-red", token, false, 422, "must be the namespace of the URL"},
	{"bob", "team-blue", "bravelion", "view as rita's", requests, false, 409, "belongs to another grant"},
	{"bob", "team-blue", "bravelion", "21 roles", twin, false, 422, "spec.clusterRoles: Too many"},
	{"bob", "team-blue", "bravelion", "every audience", token, dry, 422, "spec.audiences[0]"},
	{"bob", "team-red", "bravelion", "view", twin, false, 403, "cannot create resource"},
	{"bob", "team-red", "bravelion", "rules", token, dry, 403, "cannot create resource"},

	// vera: view on every cluster of both.
	{"vera", "team-red", "bravelion", "view", requests, false, 201, ""},
	{"vera", "team-red", "smartfish", "view", token, false, 201, ""},
	{"vera", "team-blue", "bravelion", "view", twin, dry, 201, ""},
	{"vera", "team-blue", "smartfish", "view", requests, false, 201, ""},
	{"vera", "team-blue", "smartfish", "no role", twin, false, 201, ""},
	{"vera", "team-red", "bravelion", "edit", requests, false, 403, "lacks: bind:edit on"},
	{"vera", "team-blue", "smartfish", "cluster-admin", token, dry, 403, "lacks: bind:cluster-admin on"},
	{"vera", "team-blue", "bravelion", "rules", twin, false, 403, "lacks: escalate on"},
	{"vera", "team-red", "bravelion", "deployer", token, false, 403, "lacks: bind-role:default:deployer on"},
	{"vera", "team-red", "nowhere", "view", requests, false, 404, `"nowhere" not found`},
	{"vera", "team-blue", "nowhere", "view", token, false, 404, `"nowhere" not found`},
	{"vera", "team-blue", "nowhere", "view", twin, dry, 404, `"nowhere" not found`},
	{"vera", "team-red", "bravelion", "view as rita's", token, false, 409, "may not update it"},
	{"vera", "team-red", "smartfish", "kube-system", twin, dry, 422, "spec.serviceAccountNamespace"},
	{"vera", "default", "bravelion", "view", token, false, 403, "cannot create resource"},
}

// Users of two teams get what they may.
func TestMatrix(t *testing.T) {
	begin := time.Now()
	makeTeams(t)
	tried := map[string]bool{}
	for _, e := range matrix {
		if !e.gives() {
			continue
		}
		t.Run(e.String(), func(t *testing.T) {
			answer := send(t, e)
			require.NotNil(t, answer)
			require.NotEmpty(t, answer.Status.Token)
			if key := e.user + e.asks; !tried[key] {
				tried[key] = true
				expectExactly(t, asks[e.asks], e.cluster, answer.Status.Kubeconfig)
			}
		})
	}
	// Nothing of what follows gives anything: what there is after each is what there was before all.
	// The kinds that clusterpass may write are looked at each time, all others at the end.
	before, everythingBefore := map[string]string{}, map[string]string{}
	for _, cluster := range members {
		everythingBefore[cluster] = objectsOf(t, cluster, kindsOf(t, cluster))
		before[cluster] = objectsOf(t, cluster, writable)
	}
	grantsBefore := grantsOfTheHub(t)
	for _, e := range matrix {
		if e.gives() {
			continue
		}
		t.Run(e.String(), func(t *testing.T) {
			if answer := send(t, e); answer != nil {
				assert.Empty(t, answer.Status.Token)
				assert.Empty(t, answer.Status.Kubeconfig)
			}
			assert.Equal(t, grantsBefore, grantsOfTheHub(t))
			if slices.Contains(members, e.cluster) {
				assert.Equal(t, before[e.cluster], objectsOf(t, e.cluster, writable))
			}
		})
	}
	for _, cluster := range members {
		assert.Equal(t, everythingBefore[cluster], objectsOf(t, cluster, kindsOf(t, cluster)))
	}
	t.Logf("%d cases in %s", len(matrix), time.Since(begin).Round(time.Second))
}

// status finds the code of a refusal in what kubectl logs.
var status = regexp.MustCompile(`"Response".* status="(\d+)`)

// send asks for what e says, wants its code, and returns the answer, or nil where that is an error.
func send(t *testing.T, e entry) *v1alpha1.AuthTokenRequest {
	t.Helper()
	group, resource := v1alpha1.GroupName, "authtokenrequests"
	switch e.form {
	case twin:
		group = "clusterpass.dev"
	case token:
		resource = "clusterprofiles/" + e.cluster + "/token"
	}
	path := fmt.Sprintf("/apis/%s/v1alpha1/namespaces/%s/%s", group, e.team, resource)
	if e.dryRun {
		path += "?dryRun=All"
	}
	r := v1alpha1.AuthTokenRequest{
		TypeMeta: metav1.TypeMeta{APIVersion: group + "/v1alpha1", Kind: "AuthTokenRequest"},
		Spec: spec{
			TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: e.cluster},
			ServiceAccountName:      strings.ReplaceAll(e.team+"-"+e.user+"-"+e.asks, " ", "-"),
			ServiceAccountNamespace: "default",
		},
	}
	asks[e.asks].change(&r.Spec)
	body, err := json.Marshal(r)
	require.NoError(t, err)
	// At this verbosity kubectl logs the code of the answer.
	args := append([]string{"create", "--raw", path, "-f", "-", "-v=6"}, persons[e.user]...)
	out, err := kubectl(t.Context(), kubeconfig("hub"), string(body), args...)
	if err != nil {
		found := status.FindStringSubmatch(err.Error())
		require.Len(t, found, 2, err)
		assert.Equal(t, strconv.Itoa(e.code), found[1], err)
		assert.ErrorContains(t, err, e.words)
		return nil
	}
	assert.Equal(t, http.StatusCreated, e.code)
	var answer v1alpha1.AuthTokenRequest
	require.NoError(t, json.Unmarshal([]byte(out), &answer))
	return &answer
}

// expectExactly wants a token to be good for what was asked, and for no more.
func expectExactly(t *testing.T, what asked, cluster string, config []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, config, 0o600))
	for _, command := range what.may {
		mustKubectl(t, file, "", command...)
	}
	for _, command := range what.mayNot {
		_, err := kubectl(t.Context(), file, "", command...)
		require.ErrorContains(t, err, "is forbidden", strings.Join(command, " "))
	}
	if len(what.may) > 0 {
		other := members[1-slices.Index(members, cluster)]
		_, err := kubectl(t.Context(), pointedAt(t, file, other), "", what.may[0]...)
		require.ErrorContains(t, err, "You must be logged in to the server")
	}
}

// writable are the kinds of objects that a member lets clusterpass write.
const writable = "namespaces,serviceaccounts,secrets,roles,rolebindings,clusterroles,clusterrolebindings"

// kindsOf returns the kinds of all objects of a cluster, but for those that change by themselves.
func kindsOf(t *testing.T, cluster string) string {
	t.Helper()
	kinds := strings.Fields(on(t, cluster, "api-resources", "--verbs=list", "-o", "name"))
	restless := []string{"componentstatuses", "events", "events.events.k8s.io", "leases.coordination.k8s.io"}
	return strings.Join(slices.DeleteFunc(kinds, func(kind string) bool { return slices.Contains(restless, kind) }), ",")
}

// objectsOf lists every object of these kinds with its version.
func objectsOf(t *testing.T, cluster, kinds string) string {
	t.Helper()
	return on(t, cluster, "get", kinds, "-A", "-o",
		`jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.uid} {.metadata.resourceVersion}{"\n"}{end}`)
}

// grantsOfTheHub lists every grant with its generation. When its status is written is not for this
// test to know.
func grantsOfTheHub(t *testing.T) string {
	t.Helper()
	return on(t, "hub", "get", "authtokengrants", "-A", "-o",
		`jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.metadata.uid} {.metadata.generation}{"\n"}{end}`)
}
