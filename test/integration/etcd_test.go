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

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"

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
	if err := os.WriteFile(config, fmt.Appendf(nil, encryption, key), 0o600); err != nil {
		t.Fatal(err)
	}
	ports := testenv.Must[[]int](t)(testenv.FreePorts(1))
	server := testenv.Must[*testenv.Server](t)(testenv.NewServer(testenv.ServerConfig{
		Hub:  shared.Hub,
		Dir:  filepath.Join(dir, "server"),
		Port: ports[0],
		Args: []string{"--encryption-provider-config=" + config, "--etcd-prefix=/clusterpass"},
	}))
	t.Cleanup(server.Stop)
	if err := server.StartUnregistered(ctx); err != nil {
		t.Fatal(err)
	}
	user := testenv.Must[*rest.Config](t)(server.DirectConfig("admin", "system:masters"))
	profiles := testenv.Must[*inventory.Clientset](t)(inventory.NewForConfig(user)).ApisV1alpha1().ClusterProfiles("default")
	profile := &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Name: "encrypted"},
		Spec: inventoryv1alpha1.ClusterProfileSpec{
			DisplayName:    "plain to see",
			ClusterManager: inventoryv1alpha1.ClusterManager{Name: "test"},
		},
	}
	// Clients with certificates of the hub are anonymous until the server has read the hub's client CA.
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := profiles.Create(ctx, profile, metav1.CreateOptions{})
		return err
	})
	read := testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(profiles.Get(ctx, "encrypted", metav1.GetOptions{}))
	if read.Spec.DisplayName != "plain to see" {
		t.Errorf("read back: %q", read.Spec.DisplayName)
	}

	etcd := etcdClient(t, shared.Hub.EtcdArgs())
	ours := testenv.Must[*clientv3.GetResponse](t)(etcd.Get(ctx, "/clusterpass/", clientv3.WithPrefix()))
	if len(ours.Kvs) == 0 {
		t.Fatal("nothing is stored under /clusterpass")
	}
	for _, kv := range ours.Kvs {
		if strings.HasSuffix(string(kv.Key), "/default/encrypted") && !bytes.HasPrefix(kv.Value, []byte("k8s:enc:secretbox:v1:one:")) {
			t.Errorf("%s is not encrypted", kv.Key)
		}
		if bytes.Contains(kv.Value, []byte("plain to see")) {
			t.Errorf("%s is plain to see", kv.Key)
		}
	}
	foreign := testenv.Must[*clientv3.GetResponse](t)(etcd.Get(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithKeysOnly()))
	for _, kv := range foreign.Kvs {
		if strings.Contains(string(kv.Key), "clusterprofiles/") {
			t.Errorf("%s is in kube-apiserver's part of etcd", kv.Key)
		}
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
	if err != nil {
		t.Fatal(err)
	}
	client := testenv.Must[*clientv3.Client](t)(clientv3.New(clientv3.Config{Endpoints: []string{flags["etcd-servers"]}, TLS: tlsConfig, DialTimeout: 10 * time.Second}))
	t.Cleanup(func() { _ = client.Close() })
	return client
}
