// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/utils/ptr"

	"clusterpass.dev/pkg/member"
)

// emptyMember is the API of a member that has nothing, and makes nothing.
type emptyMember struct {
	*httptest.Server
	mu      sync.Mutex
	created []string
}

func newEmptyMember(t *testing.T) *emptyMember {
	t.Helper()
	m := &emptyMember{}
	m.Server = httptest.NewTLSServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *emptyMember) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lists := map[string]runtime.Object{
		"rolebindings":        &rbacv1.RoleBindingList{TypeMeta: metav1.TypeMeta{Kind: "RoleBindingList"}},
		"clusterrolebindings": &rbacv1.ClusterRoleBindingList{TypeMeta: metav1.TypeMeta{Kind: "ClusterRoleBindingList"}},
	}
	resource := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch list, isList := lists[resource]; {
	case r.Method == http.MethodGet && isList:
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		_ = protobuf.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(list, w)
		return
	case r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch:
		m.mu.Lock()
		m.created = append(m.created, r.Method+" "+r.URL.Path)
		m.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_ = json.NewEncoder(w).Encode(apierrors.NewNotFound(corev1.Resource("things"), resource).ErrStatus)
}

// kubeconfig returns one for the member.
func (m *emptyMember) kubeconfig(t *testing.T) []byte {
	t.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.Certificate().Raw})
	data, err := kubeconfig(stored(asIs), clientcmdv1.Cluster{Server: m.URL, CertificateAuthorityData: ca}, "t")
	require.NoError(t, err)
	return data
}

// keptGrants is a store of one grant.
type keptGrants struct {
	Grants
	grant *storedGrant
}

func (k *keptGrants) Live(_ context.Context, _, name string) (*storedGrant, error) {
	return orNotFound(k.grant.DeepCopy(), authTokenGrants, name)
}

func (k *keptGrants) Cached(ctx context.Context, namespace, name string) (*storedGrant, error) {
	return k.Live(ctx, namespace, name)
}

func (k *keptGrants) Count(context.Context, string) (int64, error) { return 0, nil }

func (k *keptGrants) Create(_ context.Context, g *storedGrant) (*storedGrant, error) {
	k.grant = g.DeepCopy()
	k.grant.UID, k.grant.Generation = "grant-1", 1
	return k.grant.DeepCopy(), nil
}

func (k *keptGrants) Delete(_ context.Context, g *storedGrant) error {
	if g.ResourceVersion != k.grant.ResourceVersion {
		return apierrors.NewConflict(authTokenGrants, g.Name, errors.New("changed"))
	}
	k.grant.DeletionTimestamp = ptr.To(metav1.Now())
	return nil
}

func (k *keptGrants) Update(_ context.Context, g *storedGrant) (*storedGrant, error) {
	if k.grant = g.DeepCopy(); g.DeletionTimestamp != nil && len(g.Finalizers) == 0 {
		k.grant = nil
	}
	return g, nil
}

// TestMinter_MintLeavingMember is about an unjoin that marks the member after the request was let
// in, and lists the grants before that of the request is stored. The caches know of nothing.
func TestMinter_MintLeavingMember(t *testing.T) {
	marked := func(s *corev1.Secret) { s.Annotations[member.LeavingAnnotation] = "2026-05-04T12:00:00Z" }
	old := metav1.NewTime(time.Now().Add(-time.Hour))
	hadTokens := func(g *storedGrant) { g.Status.ExpirationCeiling = &old }
	for name, test := range map[string]struct {
		// change is what has become of the Secret when the grant is stored; nil: it is gone.
		change func(*corev1.Secret)
		// readError is why the Secret cannot be read then.
		readError error
		// adopted says that an equal request has got a token meanwhile, and cancelled that the requester
		// does not wait.
		adopted, cancelled bool
		// there is the grant as it was before; nil: there was none.
		there func(*storedGrant)
		// words of the refusal; none: the member is asked to make what the grant takes.
		words string
		kept  bool
		reads int
	}{
		"one that is marked gets no grant": {change: marked, words: "the cluster is leaving this hub, since 2026-05-04T12:00:00Z", reads: 1},
		"one that is gone gets no grant":   {words: "there is no Secret clusterpass-system/m", reads: 1},
		"one of which nothing is known gets no grant": {
			change: asSecret, readError: errors.New("the hub is away"), words: "can't be read: the hub is away", reads: 1,
		},
		"one of which an equal request has a token keeps its grant": {change: marked, adopted: true, words: "the cluster is leaving",
			kept: true, reads: 1},
		"a requester who does not wait takes nothing back": {readError: errors.New("unused"), cancelled: true,
			words: "cannot tell whether", kept: true, reads: 1},
		"one that stays is asked":                        {change: asSecret, kept: true, reads: 1},
		"a grant of another request without any token":   {change: marked, there: asIs, words: "the cluster is leaving", kept: true, reads: 1},
		"a grant that has had tokens was seen by unjoin": {change: marked, there: hadTokens, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, grants, reads := newEmptyMember(t), &keptGrants{}, 0
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			before := memberSecret("default/bravelion")
			before.Data["kubeconfig"] = cluster.kubeconfig(t)
			hub := &laggingHub{cached: profileWith("1", secretAccess), cachedSecret: before}
			pool, err := member.NewPool(member.Options{
				Config: member.DefaultConfig(), Secrets: hub,
				Live: func(context.Context, string, string) (*corev1.Secret, error) {
					reads++
					require.NotNil(t, grants.grant, "the Secret is read when the grant is stored, and no earlier")
					if test.adopted {
						grants.grant.ResourceVersion = "2"
					}
					switch {
					case test.cancelled:
						cancel()
						return nil, context.Canceled
					case test.readError != nil:
						return nil, test.readError
					case test.change == nil:
						return nil, apierrors.NewNotFound(corev1.Resource("secrets"), "m")
					}
					now := before.DeepCopy()
					test.change(now)
					return now, nil
				},
			})
			require.NoError(t, err)
			m, r := newMinter(hub, pool, grants), requestOf("jane")
			r.Spec.ClusterRoles = nil
			if test.there != nil {
				target, err := m.findTarget(t.Context(), r.Spec.TargetClusterProfile, false)
				require.NoError(t, err)
				grants.grant = m.newTask(r, target).want.DeepCopy()
				grants.grant.UID, grants.grant.Generation = "grant-1", 1
				test.there(grants.grant)
			}
			_, err = m.Mint(ctx, r)
			require.Error(t, err)
			assert.Equal(t, test.cancelled, apierrors.IsTimeout(err))
			assert.Equal(t, test.reads, reads)
			assert.Equal(t, test.kept, grants.grant != nil)
			if test.words == "" {
				assert.NotEmpty(t, cluster.created)
				return
			}
			require.ErrorContains(t, err, test.words)
			assert.Empty(t, cluster.created, "nothing was made on the member")
			assert.Equal(t, test.change != nil && test.readError == nil, apierrors.HasStatusCause(err, member.CauseLeaving))
		})
	}
}

// The mark is read in the Secret of the client, which may be newer than that of the cached profile.
func TestTask_Reached(t *testing.T) {
	secret := memberSecret("default/bravelion")
	secret.Data["kubeconfig"] = newEmptyMember(t).kubeconfig(t)
	hub := &laggingHub{cached: profileWith("1", secretAccess), cachedSecret: secret}
	pool, err := member.NewPool(member.Options{Config: member.DefaultConfig(), Secrets: hub})
	require.NoError(t, err)
	client, err := pool.Cached(t.Context(), hub.cached)
	require.NoError(t, err)
	before := hub.cached.DeepCopy()
	before.Status.AccessProviders[0].Cluster.Extensions = nil
	reached := (&task{target: &target{profile: before, client: client}}).reached()
	assert.Equal(t, hub.cached.Status.AccessProviders, reached.Status.AccessProviders)
	assert.Equal(t, cache.MetaObjectToName(hub.cached), cache.MetaObjectToName(reached))
}

func asSecret(*corev1.Secret) {}
