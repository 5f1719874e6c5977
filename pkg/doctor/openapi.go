// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"io"
	"net/http"
	"strings"
)

const (
	// openAPIv2 is as kubectl and Helm ask for it: a quarter of the JSON, and kept ready by the hub.
	openAPIv2 = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	// maxBody bounds what is read of an answer. A hub with hundreds of CustomResourceDefinitions has some megabytes.
	maxBody = 256 << 20
	// maxWords bounds what is shown of the hub's own words.
	maxWords = 300
)

// checkOpenAPI asks for what a clash of an APIService with CustomResourceDefinitions breaks for the whole hub.
func checkOpenAPI(ctx context.Context, e *examination) findings {
	var f findings
	const path = "/openapi/v2"
	response, err := e.Get(ctx, path, openAPIv2)
	if err != nil {
		f.unknown(path, err)
		return f
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusForbidden {
		f.skip(path, "you may not look: %s", response.Status)
		return f
	}
	if response.StatusCode != http.StatusOK {
		words, _ := io.ReadAll(io.LimitReader(response.Body, maxWords))
		f.fail(path, "Resolve the clash of CustomResourceDefinitions that the check crds names, then see the log of kube-apiserver: kubectl get --raw "+path,
			"the hub answers %s, which stops kubectl apply, Helm and Argo CD: %s", response.Status, strings.TrimSpace(string(words)))
		return f
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxBody)); err != nil {
		f.unknown(path, err)
		return f
	}
	f.ok(path, "the hub describes its whole API")
	return f
}
