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
	// maxBodyEntries bounds one list or map of a body. It is more than what validation takes, so that what was stored
	// before there were bounds can be written again.
	maxBodyEntries = 10 * bounds.MaxEntries
	// maxBodyItems bounds the items of all lists of a body together, and maxBodyKeys the keys of its maps, most of which
	// are the managed fields'.
	maxBodyItems = bounds.MaxTotal
	maxBodyKeys  = 10 * bounds.MaxTotal
)

// bodyLimit bounds a body: its bytes, the entries of one list or map in it, and its numbers where they may be quantities.
type bodyLimit struct {
	bytes   int64
	entries int
	numbers bool
}

var (
	// defaultBody has the generic API server's own bytes: it is for kinds of upstream, whose CRD has no other.
	defaultBody = bodyLimit{3 << 20, maxBodyEntries, false}
	// tokenRequestBody is that of requests that are not stored.
	tokenRequestBody = bodyLimit{128 << 10, bounds.MaxEntries, false}
	// smallBody is that of kinds of ours that are lists of names and numbers.
	smallBody = bodyLimit{1 << 20, maxBodyEntries, false}
	// scoreBody has quantities.
	scoreBody = bodyLimit{1 << 20, maxBodyEntries, true}
	// placementBody has quantities, too, and room for what was stored before all expressions together had a bound.
	placementBody = bodyLimit{2 << 20, maxBodyEntries, true}
)

// bodies bounds the bodies of requests for resources and subresources that have not defaultBody.
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

// boundBodies refuses bodies that are too large, with 413, before anything is decoded: a body of few bytes can be an
// object of many parts, each of which the field manager and validation look at.
func boundBodies(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, ok := genericapirequest.RequestInfoFrom(r.Context())
		if !ok || !info.IsResourceRequest || r.Body == nil || r.Body == http.NoBody {
			handler.ServeHTTP(w, r)
			return
		}
		resource := info.Resource
		if info.Subresource != "" {
			resource += "/" + info.Subresource
		}
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

// readBody returns the body of a request for a resource, of at most limit bytes, or a metav1.Status error.
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

// maxWords bounds the words of an error that is not ours, in bytes.
const maxWords = 256

// checkBody returns 413 for a body with more entries in one list or map than its limit, by its path, or too many in all of
// them, and 400 for one that is too deep, or has a quantity that is too large. What cannot be read is for the decoder to refuse.
func checkBody(body []byte, contentType string, limit bodyLimit) error {
	// As the handler of patches does, which takes what is no media type, too.
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	isYAML := mediaType == runtime.ContentTypeYAML || mediaType == string(types.ApplyYAMLPatchType)
	if isYAML && !json.Valid(body) {
		// A node of YAML takes hundreds of bytes while it is parsed. Each is followed by one of these.
		if bytes.Count(body, []byte(","))+bytes.Count(body, []byte("\n")) > maxBodyKeys {
			return tooManyEntries("", fmt.Sprintf("the YAML of the body has more than %d lines and commas", maxBodyKeys))
		}
		converted, err := yaml.YAMLToJSON(body)
		if err != nil {
			return nil //nolint:nilerr // The decoder says why.
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
