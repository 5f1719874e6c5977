// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"fmt"

	"clusterpass.dev/pkg/embeddedetcd"
)

// Run runs the server, and the embedded etcd if there is one, until ctx ends. Then it shuts down in
// order: it accepts no new requests, lets those in flight end, and stops etcd last.
func (o completedOptions) Run(ctx context.Context) error {
	if o.EmbeddedEtcdDir == "" {
		return o.serve(ctx)
	}
	etcd, err := embeddedetcd.Start(ctx, o.EmbeddedEtcdDir)
	if err != nil {
		return err
	}
	defer etcd.Close()
	o.Recommended.Etcd.StorageConfig.Transport.ServerList = []string{etcd.Endpoint()}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-etcd.Err():
			cancel(fmt.Errorf("embedded etcd stopped: %w", err))
		case <-ctx.Done():
		}
	}()
	if err := o.serve(ctx); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (o completedOptions) serve(ctx context.Context) error {
	config, err := o.Config(ctx)
	if err != nil {
		return err
	}
	server, err := config.Complete().New() //nolint:contextcheck // its hooks get the context of the run
	if err != nil {
		return err
	}
	return server.Generic.PrepareRun().RunWithContext(ctx)
}
