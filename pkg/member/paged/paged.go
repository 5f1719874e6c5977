// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package paged reads lists of member clusters in pages and within bounds. A hostile or broken
// member causes an error. Memory holds no more than one answer, which pkg/member bounds, and one
// decoded item. All lists of Kubernetes' own kinds are read with this package.
package paged

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"clusterpass.dev/pkg/bounds"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

const (
	// size is how many items a request asks for: about 5 MB of pods. If a page is larger than
	// pkg/member accepts, the next request asks for smallerBy times fewer items, and so on.
	size      = 500
	smallerBy = 5
	// maxPages bounds a list. A member may send fewer items in a page than the request asks for.
	maxPages = 2000
	// maxItems bounds a list, too, because members without paging send everything in one answer. A
	// cluster has at most 150,000 pods if its operators stay within the tested limits of
	// Kubernetes.
	maxItems = size * maxPages
	// maxItem bounds an item, in bytes. It is the limit of etcd. Decoded, an item that consists of
	// empty containers takes 450 times as many.
	maxItem = 1536 << 10
	// maxFields bounds the fields of an item; items are decoded one at a time. A pod has hundreds.
	maxFields = 100_000
	// maxToken bounds the continue token, in bytes, which becomes a part of a URL. In the token of
	// an API server there is a key.
	maxToken = 4 << 10
	// maxKind bounds the kind in an error's text, in bytes.
	maxKind = 64

	// field numbers of all lists of Kubernetes in protobuf.
	metaField, itemsField = 1, 2
)

// prefix is what a protobuf message of Kubernetes begins with.
var prefix = []byte("k8s\x00")

// metadata is the media type that asks only for the metadata of the items.
const metadata = runtime.ContentTypeProtobuf + ";as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// Each calls add for each item of a list, still encoded in protobuf. It never decodes the whole
// list, because two bytes could become a whole item in memory. add must not keep item after it
// returns. An error of add ends the list. So does an exceeded bound; its error names the bound.
func Each(ctx context.Context, client rest.Interface, resource string, options metav1.ListOptions, add func(item []byte) error) error {
	return each(ctx, client, resource, runtime.ContentTypeProtobuf, options, add)
}

// EachMetadata is Each for the metadata of the items.
func EachMetadata(
	ctx context.Context, client rest.Interface, resource string, options metav1.ListOptions, add func(item *metav1.PartialObjectMetadata),
) error {
	return each(ctx, client, resource, metadata, options, func(item []byte) error {
		var m metav1.PartialObjectMetadata
		if err := m.Unmarshal(item); err != nil {
			return err
		}
		add(&m)
		return nil
	})
}

func each(
	ctx context.Context, client rest.Interface, resource, accept string, options metav1.ListOptions, add func(item []byte) error,
) error {
	left := maxItems
	return pages(options, func(options metav1.ListOptions) (string, error) {
		result := client.Get().Resource(resource).VersionedParams(&options, scheme.ParameterCodec).
			SetHeader("Accept", accept).Do(ctx)
		if err := result.Error(); err != nil {
			return "", err
		}
		body, err := result.Raw()
		if err != nil {
			return "", err
		}
		token, err := items(body, func(item []byte) error {
			if left--; left < 0 {
				return fmt.Errorf("more than %d items", maxItems)
			}
			return add(item)
		})
		if err != nil {
			return "", fmt.Errorf("its %s: %w", resource, err)
		}
		return token, nil
	})
}

// pages calls list for each page, until list returns no continue token. The pager of client-go
// would ask for everything at once where a token has expired. Here the list fails, and the caller
// may start again.
func pages(options metav1.ListOptions, list func(options metav1.ListOptions) (token string, err error)) error {
	options.Limit = size
	for range maxPages {
		token, err := list(options)
		if member.IsTooLarge(err) && options.Limit > 1 {
			options.Limit = max(1, options.Limit/smallerBy)
			continue
		}
		if err != nil || token == "" {
			return err
		}
		if len(token) > maxToken {
			return fmt.Errorf("its continue token has more than %d bytes", maxToken)
		}
		options.Continue = token
	}
	return fmt.Errorf("its list has more than %d pages", maxPages)
}

// items calls add for each item of a list in protobuf, and returns the continue token.
func items(body []byte, add func(item []byte) error) (token string, err error) {
	encoded, ok := bytes.CutPrefix(body, prefix)
	if !ok {
		return "", errors.New("the answer is not in protobuf, which was asked for")
	}
	var list runtime.Unknown
	if err := list.Unmarshal(encoded); err != nil {
		return "", err
	}
	if !strings.HasSuffix(list.Kind, "List") {
		return "", fmt.Errorf("the answer is of kind %q, which is no list", words.Clean(list.Kind, maxKind))
	}
	for rest := list.Raw; len(rest) > 0; {
		number, kind, length := protowire.ConsumeField(rest)
		if length < 0 {
			return "", protowire.ParseError(length)
		}
		var value []byte
		if kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(rest)
			value, _ = protowire.ConsumeBytes(rest[tag:])
		}
		rest = rest[length:]
		switch {
		case number == metaField:
			var meta metav1.ListMeta
			err = meta.Unmarshal(value)
			token = meta.Continue
		case number == itemsField && len(value) > maxItem:
			err = fmt.Errorf("an item has more than %d bytes", maxItem)
		case number == itemsField:
			if err = bounds.CheckProtobuf(value, maxFields); err == nil {
				err = add(value)
			}
		}
		if err != nil {
			return "", err
		}
	}
	return token, nil
}
