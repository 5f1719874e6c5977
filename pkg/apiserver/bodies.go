// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/pkg/bounds"
	"clusterpass.dev/pkg/words"
)

const (
	// maxBodyEntries bounds one list or map in a body. It is higher than the limit of validation,
	// so objects that were stored before there was a limit can still be updated.
	maxBodyEntries = 10 * bounds.MaxEntries
	// maxBodyItems bounds the items of all lists in a body together. maxBodyKeys bounds the keys of
	// all its maps, most of which are in managedFields.
	maxBodyItems = bounds.MaxTotal
	maxBodyKeys  = 10 * bounds.MaxTotal
)

// bodyLimit limits a body: its bytes, the entries of one list or map, and its numbers if they may
// be quantities.
type bodyLimit struct {
	bytes   int64
	entries int
	numbers bool
}

var (
	// defaultBody has the limit in bytes of the generic API server. It is for upstream's kinds,
	// because CRDs have the same limit.
	defaultBody = bodyLimit{3 << 20, maxBodyEntries, false}
	// tokenRequestBody is for requests that are not stored.
	tokenRequestBody = bodyLimit{128 << 10, bounds.MaxEntries, false}
	// smallBody is for our own kinds, which consist of lists of names and numbers.
	smallBody = bodyLimit{1 << 20, maxBodyEntries, false}
	// scoreBody is for objects with quantities.
	scoreBody = bodyLimit{1 << 20, maxBodyEntries, true}
	// placementBody is also for objects with quantities. It accepts specs from before there was a
	// limit for all CEL expressions together.
	placementBody = bodyLimit{2 << 20, maxBodyEntries, true}
)

// bodies has the limits of resources and subresources for which defaultBody is wrong.
var bodies = map[string]bodyLimit{
	"authtokenrequests":            tokenRequestBody,
	"clusterprofiles/token":        tokenRequestBody,
	"clustercredentialsets/token":  tokenRequestBody,
	"clustercredentialsets":        smallBody,
	"clustercredentialsets/status": smallBody,
	"clusterscores":                scoreBody,
	"clusterscores/status":         scoreBody,
	"placements":                   placementBody,
	"placements/status":            placementBody,
}

// boundBodies refuses bodies that are too large, with 413, before it decodes anything. A small body
// can be an object with many parts, and both the field manager and validation read each of them.
func boundBodies(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(r.Context())
		if !ok || !info.IsResourceRequest || r.Body == nil || r.Body == http.NoBody {
			handler.ServeHTTP(w, r)
			return
		}
		resource := withSubresource(info.Resource, info.Subresource)
		limit, ok := bodies[resource]
		if !ok {
			limit = defaultBody
		}
		body, err := readBody(r, resource, limit.bytes)
		if err == nil {
			err = checkBody(body, r.Header.Get("Content-Type"), limit)
		}
		if err != nil {
			responsewriters.ErrorNegotiated(err, Codecs, schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}, w, r)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		handler.ServeHTTP(w, r)
	})
}

// readBody returns the body of a request for a resource, or a metav1.Status error if it has more
// than limit bytes.
func readBody(r *http.Request, resource string, limit int64) ([]byte, error) {
	tooLarge := apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the body of a request for %s may have %d bytes", resource, limit))
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		return nil, apierrors.NewBadRequest(words.Clean(err.Error(), maxWords))
	case int64(len(body)) > limit:
		return nil, tooLarge
	}
	return body, nil
}

// maxWords bounds the text of an error from another package, in bytes.
const maxWords = 256

// checkBody returns 413 if one list or map of the body, named by its path, or all of them together
// have too many entries. It returns 400 if the body is nested too deeply or has a quantity that is
// too large. It accepts bodies that cannot be parsed: the decoder refuses them.
func checkBody(body []byte, contentType string, limit bodyLimit) error {
	// Like the handler of patches, which also accepts an invalid media type.
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	isYAML := mediaType == runtime.ContentTypeYAML || mediaType == string(types.ApplyYAMLPatchType)
	if isYAML && !json.Valid(body) {
		// While YAML is parsed, each node takes hundreds of bytes. A comma or newline follows each node.
		if bytes.Count(body, []byte(","))+bytes.Count(body, []byte("\n")) > maxBodyKeys {
			return tooManyEntries("", fmt.Sprintf("the YAML of the body has more than %d lines and commas", maxBodyKeys))
		}
		converted, err := yaml.YAMLToJSON(body)
		if err != nil {
			return nil //nolint:nilerr // The decoder reports the error.
		}
		body = converted
	}
	err := bounds.CheckJSON(body, bounds.Limits{Entries: limit.entries, Items: maxBodyItems, Keys: maxBodyKeys, Numbers: limit.numbers})
	if encoded, ok := errors.AsType[*bounds.EncodedError](err); ok {
		if encoded.IsMalformed {
			return apierrors.NewBadRequest(encoded.Error())
		}
		return tooManyEntries(encoded.Field, encoded.Error())
	}
	return err
}

func tooManyEntries(path, message string) error {
	err := apierrors.NewRequestEntityTooLargeError(message)
	err.ErrStatus.Details = &metav1.StatusDetails{Causes: []metav1.StatusCause{{
		Type: metav1.CauseTypeTooMany, Message: message, Field: path,
	}}}
	return err
}
