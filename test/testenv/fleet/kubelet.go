// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpass.dev/test/kubelet"
)

// playKubelet completes Jobs of the cluster that a kubeconfig is for, and answers /readyz at port
// of 127.0.0.1, until ctx ends.
func playKubelet(ctx context.Context, kubeconfig, port string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS = -1
	k, err := kubelet.New(config)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := k.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{Addr: net.JoinHostPort("127.0.0.1", port), Handler: mux, ReadHeaderTimeout: answerTimeout}
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		k.Run(groupCtx)
		return server.Close()
	})
	group.Go(func() error {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return group.Wait()
}
