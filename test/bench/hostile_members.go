// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"

	"clusterpass.dev/test/testenv"
)

// lyingTokens is how many tokens of members that lie are asked for in a second, by all clients
// together.
const lyingTokens = 50

// lyingClients is how many clients ask for them: enough for that many a second, although some wait
// for a member that answers slowly until the end of a slice.
const lyingClients = 200

// liars are members that answer everything alike, by their names: the lies of
// test/integration/hostile that cost the most.
func liars() (map[string]http.HandlerFunc, error) {
	object := runtime.Unknown{
		TypeMeta: runtime.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBindingList"},
		// Of the second field, the items of a list, there are a million that are empty.
		Raw: bytes.Repeat([]byte{2<<3 | 2, 0}, 1<<20),
	}
	items, err := object.Marshal()
	if err != nil {
		return nil, err
	}
	return map[string]http.HandlerFunc{
		"items": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
			_, _ = w.Write(append([]byte("k8s\x00"), items...))
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", runtime.ContentTypeJSON)
			for chunk := make([]byte, 1<<20); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"slow": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", runtime.ContentTypeJSON)
			for every := time.Tick(50 * time.Millisecond); ; {
				select {
				case <-every:
				case <-r.Context().Done():
					return
				}
				if _, err := io.WriteString(w, " "); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
			}
		},
	}, nil
}

// measureHostileMembers compares the tokens of an honest member while tokens of members that lie
// are asked for with the same alone.
func measureHostileMembers(ctx context.Context, s settings, env *environment) ([]comparison, error) {
	s.progress("hostile members: starting a hub, a member and clusterpass-apiserver")
	hub, _, err := env.startFleet(ctx)
	if err != nil {
		return nil, err
	}
	names, err := env.startLiars(ctx, hub)
	if err != nil {
		return nil, err
	}
	requester, err := newUser(ctx, hub, benchUser, requesterRules()...)
	if err != nil {
		return nil, err
	}
	mint := mintRequest()
	if _, err := firstToken(ctx, requester, mint); err != nil {
		return nil, err
	}
	// An admin asks for theirs, whose requests need no review.
	admin, err := newClient(hub.RESTConfig())
	if err != nil {
		return nil, err
	}
	var asked atomic.Int64
	b := &siege{pace: lyingTokens, clients: lyingClients, send: func(ctx context.Context) error {
		i := int(asked.Add(1))
		r := mint
		r.body = strings.Replace(r.body, fmt.Sprintf(`"name":%q`, memberName), fmt.Sprintf(`"name":%q`, names[i%len(names)]), 1)
		return admin.send(ctx, r, io.Discard)
	}}
	m := measurement{name: "token beside lying members", goal: goal{tailAtMost: 1.2}}
	c, err := b.beside(ctx, s, m, requester.repeating(mint))
	return []comparison{c}, err
}

// liarsCommand is the argument by which this program serves the members that lie.
const liarsCommand = "liars"

// liarsServer is where the members that lie are served: each under its name.
type liarsServer struct {
	URL string `json:"url"`
	// CA has the certificate of the server, in PEM.
	CA    []byte   `json:"ca"`
	Names []string `json:"names"`
}

// serveLiars serves the members that lie, writes where to out, and returns once in is closed.
func serveLiars(in io.Reader, out io.Writer) error {
	lies, err := liars()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	for name, lie := range lies {
		mux.HandleFunc("/"+name+"/", lie)
	}
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	where := liarsServer{URL: server.URL, CA: ca, Names: slices.Sorted(maps.Keys(lies))}
	if err := json.NewEncoder(out).Encode(where); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// runLiars runs serveLiars in a process of the lowest priority: members have machines of their own.
func (e *environment) runLiars(ctx context.Context) (*liarsServer, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "nice", "-n", "19", program, liarsCommand)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e.stop = append(e.stop, func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	server := &liarsServer{}
	return server, json.NewDecoder(out).Decode(server)
}

// startLiars has the hub know members that lie, and returns their names.
func (e *environment) startLiars(ctx context.Context, hub *testenv.Cluster) ([]string, error) {
	server, err := e.runLiars(ctx)
	if err != nil {
		return nil, fmt.Errorf("members that lie: %w", err)
	}
	kube, err := kubernetes.NewForConfig(hub.RESTConfig())
	if err != nil {
		return nil, err
	}
	inventory, err := inventoryclient.NewForConfig(hub.RESTConfig())
	if err != nil {
		return nil, err
	}
	for _, name := range server.Names {
		if err := addLiar(ctx, kube, inventory, server, name); err != nil {
			return nil, fmt.Errorf("member %s: %w", name, err)
		}
	}
	return server.Names, nil
}

// addLiar has the hub know a member of a server, whose access is otherwise that of the honest one.
func addLiar(ctx context.Context, kube kubernetes.Interface, inventory inventoryclient.Interface, server *liarsServer, name string) error {
	profiles := inventory.ApisV1alpha1().ClusterProfiles(homeNamespace)
	original, err := profiles.Get(ctx, memberName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	prefix := "member-" + homeNamespace + "-"
	secrets := kube.CoreV1().Secrets(testenv.SystemNamespace)
	secret, err := secrets.Get(ctx, prefix+memberName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	config, err := clientcmd.Load(secret.Data["kubeconfig"])
	if err != nil {
		return err
	}
	for _, cluster := range config.Clusters {
		cluster.Server, cluster.CertificateAuthorityData = server.URL+"/"+name, server.CA
	}
	kubeconfig, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	own := &corev1.Secret{Data: map[string][]byte{"kubeconfig": kubeconfig}}
	own.Name, own.Labels = prefix+name, secret.Labels
	own.Annotations = map[string]string{"clusterpass.dev/cluster-profile": homeNamespace + "/" + name}
	if _, err := secrets.Create(ctx, own, metav1.CreateOptions{}); err != nil {
		return err
	}
	profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: original.Spec}
	if profile, err = profiles.Create(ctx, profile, metav1.CreateOptions{}); err != nil {
		return err
	}
	original.Status.DeepCopyInto(&profile.Status)
	for i := range profile.Status.AccessProviders {
		for j := range profile.Status.AccessProviders[i].Cluster.Extensions {
			extension := &profile.Status.AccessProviders[i].Cluster.Extensions[j].Extension
			extension.Raw = bytes.ReplaceAll(extension.Raw, []byte(prefix+memberName), []byte(prefix+name))
		}
	}
	_, err = profiles.UpdateStatus(ctx, profile, metav1.UpdateOptions{})
	return err
}
