// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

const (
	// requestTimeout is far above what any request takes; one that hangs is an error and not a figure.
	requestTimeout = time.Minute

	contentJSON  = "application/json"
	contentMerge = string(types.MergePatchType)
)

// client sends requests to one API server as one user. It is client-go's transport with its
// defaults (HTTP/2, compressed lists) and nothing on top that would hide anything: no limit on the
// rate, no retries, no decoding.
type client struct {
	host string
	http *http.Client
}

func newClient(config *rest.Config) (*client, error) {
	config = rest.CopyConfig(config)
	config.Timeout = requestTimeout
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", config.Host, err)
	}
	return &client{host: config.Host, http: httpClient}, nil
}

// request is one to send. Body is JSON, of contentType where that is not plain JSON.
type request struct {
	method, path, contentType string
	body                      string
}

// send sends r and copies what is answered to into. An answer other than 2xx, or by another
// protocol than HTTP/2, is an error.
func (c *client) send(ctx context.Context, r request, into io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, r.method, c.host+r.path, strings.NewReader(r.body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", contentJSON)
	if r.contentType != "" {
		req.Header.Set("Content-Type", r.contentType)
	}
	response, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.ProtoMajor != 2 {
		return fmt.Errorf("%s %s was answered over %s and not HTTP/2", r.method, r.path, response.Proto)
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %w", r.method, r.path, refusal(response))
	}
	_, err = io.Copy(into, response.Body)
	return err
}

// refusal returns the error that an answer other than 2xx tells of.
func refusal(response *http.Response) error {
	var status metav1.Status
	if err := json.NewDecoder(response.Body).Decode(&status); err != nil || status.Message == "" {
		return errors.New(response.Status)
	}
	return fmt.Errorf("%s: %s", response.Status, status.Message)
}

// discarding returns a call that sends the request that next makes for it and drops the answer.
func (c *client) discarding(next func(i int) request) call {
	return func(ctx context.Context, i int) error { return c.send(ctx, next(i), io.Discard) }
}

// repeating returns a call that always sends the same request and drops the answer.
func (c *client) repeating(r request) call { return c.discarding(func(int) request { return r }) }
