// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// encryption encrypts ClusterProfiles at rest.
const encryption = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [clusterprofiles.multicluster.x-k8s.io]
  providers:
  - secretbox:
      keys: [{name: one, secret: %s}]
`

// An etcd cluster with TLS, and encryption at rest.
func TestServer_EtcdCluster(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	config := filepath.Join(dir, "encryption.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, encryption, key), 0o600))
	ports := testenv.Must[[]int](t)(testenv.FreePorts(1))
	server := testenv.Must[*testenv.Server](t)(testenv.NewServer(testenv.ServerConfig{
		Hub:  shared.Hub,
		Dir:  filepath.Join(dir, "server"),
		Port: ports[0],
		Args: []string{"--encryption-provider-config=" + config, "--etcd-prefix=/clusterpass"},
	}))
	t.Cleanup(server.Stop)
	require.NoError(t, server.StartUnregistered(ctx))
	user := testenv.Must[*rest.Config](t)(server.DirectConfig("admin", "system:masters"))
	profiles := testenv.Inventory(t, user).ApisV1alpha1().ClusterProfiles("default")
	profile := &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Name: "encrypted"},
		Spec: inventoryv1alpha1.ClusterProfileSpec{
			DisplayName:    "plain to see",
			ClusterManager: inventoryv1alpha1.ClusterManager{Name: "test"},
		},
	}
	// Clients with certificates of the hub are anonymous until the server has read the hub's client
	// CA.
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := profiles.Create(ctx, profile, metav1.CreateOptions{})
		return err
	})
	read := testenv.Get(t, profiles, "encrypted")
	assert.Equal(t, "plain to see", read.Spec.DisplayName)

	etcd := etcdClient(t, shared.Hub.EtcdArgs())
	ours := testenv.Must[*clientv3.GetResponse](t)(etcd.Get(ctx, "/clusterpass/", clientv3.WithPrefix()))
	require.NotEmpty(t, ours.Kvs, "nothing is stored under /clusterpass")
	for _, kv := range ours.Kvs {
		if strings.HasSuffix(string(kv.Key), "/default/encrypted") {
			assert.True(t, bytes.HasPrefix(kv.Value, []byte("k8s:enc:secretbox:v1:one:")), "%s is not encrypted", kv.Key)
		}
		assert.NotContains(t, string(kv.Value), "plain to see", string(kv.Key))
	}
	foreign := testenv.Must[*clientv3.GetResponse](t)(etcd.Get(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithKeysOnly()))
	for _, kv := range foreign.Kvs {
		assert.NotContains(t, string(kv.Key), "clusterprofiles/", "in kube-apiserver's part of etcd")
	}
}

// etcdClient returns a client for the etcd that args, the flags of an API server, are for.
func etcdClient(t *testing.T, args []string) *clientv3.Client {
	t.Helper()
	flags := map[string]string{}
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		flags[name] = value
	}
	tls := transport.TLSInfo{TrustedCAFile: flags["etcd-cafile"], CertFile: flags["etcd-certfile"], KeyFile: flags["etcd-keyfile"]}
	tlsConfig, err := tls.ClientConfig()
	require.NoError(t, err)
	client := testenv.Must[*clientv3.Client](t)(clientv3.New(clientv3.Config{Endpoints: []string{flags["etcd-servers"]}, TLS: tlsConfig,
		DialTimeout: 10 * time.Second}))
	t.Cleanup(func() { _ = client.Close() })
	return client
}
