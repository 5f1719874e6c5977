// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"clusterpass.dev/pkg/bounds"
)

const (
	// maxPage bounds an answer with a page of a list, in bytes. pkg/member/paged asks for smaller
	// pages where one has more.
	maxPage = 8 << 20
	// maxObject bounds an answer with an object, in bytes: what etcd takes.
	maxObject = 1536 << 10
	// maxTokenAnswer bounds an answer with a token, in bytes. Audiences of the most bytes that a
	// request may have, each of which JSON escapes by six, take some 280 KiB there and in the token.
	maxTokenAnswer = 384 << 10
	// maxShort bounds an answer with the checks of /readyz, with a version, or with an error, in
	// bytes.
	maxShort = 64 << 10
	// maxFields bounds the fields of an object, of which two bytes may become hundreds. A ClusterRole
	// of thousands of rules has fewer.
	maxFields = 50_000
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10
	// maxUnread bounds what a member may send of one answer before it is read, in bytes. An answer of
	// several maxUnread takes as many round trips.
	maxUnread = 128 << 10
	// maxUnreadOfOne bounds the same of all answers on one connection. It is for more answers than
	// wait at once by default (maxInFlight), so they do not hold up others. net/http takes less than 4
	// MiB.
	maxUnreadOfOne = 4<<20 - 1
	// maxHeld bounds what is held of the answers of all members of a pool together, in bytes, but for
	// the first maxShort of each.
	maxHeld = 32 << 20
	// maxHeldOfOne is the same of the answers of one member: one page, of which the others still have
	// room.
	maxHeldOfOne = maxPage
	// heldStep is in what steps, in bytes, it is asked for.
	heldStep = 256 << 10
)

// pageParam is in the query of those who read a list in pages, as pkg/member/paged does, and decode
// nothing whole.
const pageParam = "limit="

// protobufPrefix begins what Kubernetes writes in protobuf.
var protobufPrefix = []byte("k8s\x00")

// The causes of giving up waiting for other answers to be done with: those of all members, and
// those of the same.
var (
	errHeld      = fmt.Errorf("answers of members already take %d MiB", maxHeld>>20)
	errHeldOfOne = fmt.Errorf("its other answers already take %d MiB", maxHeldOfOne>>20)
)

// heldBytes counts the bytes of answers that are not decoded yet: those of one member, and those of
// all.
type heldBytes struct{ one, all *semaphore.Weighted }

// acquire waits until so many bytes may be held. After ctx it returns errHeldOfOne or errHeld.
func (h heldBytes) acquire(ctx context.Context, bytes int64) error {
	if err := h.one.Acquire(ctx, bytes); err != nil {
		return errHeldOfOne
	}
	if err := h.all.Acquire(ctx, bytes); err != nil {
		h.one.Release(bytes)
		return errHeld
	}
	return nil
}

func (h heldBytes) release(bytes int64) {
	h.one.Release(bytes)
	h.all.Release(bytes)
}

// IsTooLarge returns whether err is that an answer had more bytes than its kind may have.
func IsTooLarge(err error) bool {
	failed, ok := errors.AsType[*failure](err)
	return ok && failed.tooLarge
}

// isPage returns whether req asks for a page of a list.
func isPage(req *http.Request) bool { return strings.Contains(req.URL.RawQuery, pageParam) }

// boundOf returns what an answer to req may have, in bytes, and what more says about the member.
// Unless users choose what it has, as in the objects that requests name, and in lists, no API
// server sends more, so it counts as no answer: a member that sends such answers again and again is
// not contacted for a while, and costs nothing then. No request may cause that on a member that is
// honest, but has other limits than usual.
func boundOf(req *http.Request) (limit int64, blame outcome) {
	path := req.URL.Path
	switch {
	case isPage(req):
		return maxPage, answered
	case req.Method == http.MethodPost && strings.HasSuffix(path, "/token"):
		return maxTokenAnswer, failed
	case strings.HasSuffix(path, "/readyz"), strings.HasSuffix(path, "/livez"), strings.HasSuffix(path, "/version"):
		return maxShort, failed
	case strings.HasSuffix(path, "/namespaces/"+metav1.NamespaceSystem):
		return maxObject, failed
	}
	return maxObject, answered
}

// answerBody is the whole body of an answer.
type answerBody struct {
	bytes.Buffer
	held    heldBytes
	holds   int64
	release sync.Once
}

// Close says that the body has been decoded, or is not wanted.
func (b *answerBody) Close() error {
	b.release.Do(func() { b.held.release(b.holds) })
	return nil
}

// receive reads the body of an answer to req, which resp has then whole, and refuses one that costs
// more than it should to keep or to decode. Of what says that a request has failed, the beginning
// is enough.
func (t *gatedTransport) receive(req *http.Request, resp *http.Response) error {
	if resp.StatusCode < http.StatusOK {
		resp.Body.Close()
		return &failure{cause: CauseAnswer, blame: answered,
			err: fmt.Errorf("it answers with status %d, which was not asked for", resp.StatusCode)}
	}
	refused := resp.StatusCode >= http.StatusMultipleChoices
	limit, blame := boundOf(req)
	var tooLarge error = &failure{
		cause: CauseAnswer, blame: blame, err: fmt.Errorf("its answer has more than %d bytes", limit), tooLarge: true,
	}
	if refused {
		limit, tooLarge = maxShort, nil
	}
	body := &answerBody{held: t.held}
	err := body.read(req.Context(), resp, limit, tooLarge)
	if err == nil && !refused {
		err = checkAnswer(req, resp, body.Bytes())
	}
	resp.Body.Close()
	resp.Body, resp.ContentLength = body, int64(body.Len())
	if err != nil {
		resp.Body.Close()
	}
	return err
}

// read reads at most limit bytes. If there are more, it returns tooLarge, or cuts them off if that
// is nil.
func (b *answerBody) read(ctx context.Context, resp *http.Response, limit int64, tooLarge error) error {
	if resp.ContentLength > limit && tooLarge != nil {
		return tooLarge
	}
	for step := int64(maxShort); int64(b.Len()) < limit; step = heldStep {
		have := int64(b.Len())
		step = min(step, limit-have)
		if have > 0 {
			if err := b.hold(ctx, step); err != nil {
				return err
			}
		}
		switch n, err := io.CopyN(&b.Buffer, resp.Body, step); {
		case n < step && errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return newFailure(ctx, err)
		}
	}
	if tooLarge == nil {
		return nil
	}
	switch n, err := io.CopyN(io.Discard, resp.Body, 1); {
	case n > 0:
		return tooLarge
	case errors.Is(err, io.EOF):
		return nil
	default:
		return newFailure(ctx, err)
	}
}

// hold waits, but not for long, until so many more bytes may be held.
func (b *answerBody) hold(ctx context.Context, step int64) error {
	waiting, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	if err := b.held.acquire(waiting, step); err != nil {
		return heldUp(ctx, err)
	}
	b.holds += step
	return nil
}

// checkAnswer refuses an object that takes much more memory than its bytes, and encodings that
// nobody has asked for, in which a few bytes may be many objects.
func checkAnswer(req *http.Request, resp *http.Response, body []byte) error {
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if mediaType == runtime.ContentTypeYAML || mediaType == runtime.ContentTypeCBOR {
		return &failure{cause: CauseAnswer, blame: answered, err: fmt.Errorf("it answers in %s, which was not asked for", mediaType)}
	}
	if isPage(req) {
		return nil
	}
	var err error
	if message, ok := bytes.CutPrefix(body, protobufPrefix); ok {
		err = bounds.CheckProtobuf(message, maxFields)
	} else {
		err = bounds.CheckJSON(body, bounds.Limits{Entries: maxFields, Items: maxFields, Keys: maxFields})
	}
	if err != nil {
		return &failure{cause: CauseAnswer, blame: answered, err: fmt.Errorf("its answer: %w", err)}
	}
	return nil
}
