// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"

	"clusterpass.dev/pkg/migrate"
	"clusterpass.dev/test/testenv"
)

// attempt is one run of the migration.
type attempt struct {
	options migrate.Options
	config  *rest.Config
	// answer is what is read when the run asks. Nil: the end of the input.
	answer io.Reader
	// endAfter ends the run as soon as it has told of that step, endAt at the nth request of a method
	// for a path that has a word in it. Empty: it is not ended.
	endAfter migrate.Step
	endAt    *request

	out, errOut bytes.Buffer
}

// request counts requests.
type request struct {
	method, word string
	n            int
}

// newAttempt returns a run that confirms, as the hub's admin, with a folder of its own.
func newAttempt(t *testing.T, port int32) *attempt {
	t.Helper()
	return &attempt{
		config: hub.RESTConfig(),
		options: migrate.Options{
			Dir: filepath.Join(t.TempDir(), "migration"), Yes: true, Timeout: testenv.WaitTimeout,
			Service: migrate.ServiceReference{Namespace: testenv.SystemNamespace, Name: "clusterpass-apiserver", Port: port},
		},
	}
}

// again returns a run with the same folder that is not ended.
func (a *attempt) again() *attempt {
	return &attempt{options: a.options, config: rest.CopyConfig(a.config)}
}

// endsAfter returns a run with the same folder that ends once it has told of step.
func (a *attempt) endsAfter(step migrate.Step) *attempt {
	next := a.again()
	next.endAfter = step
	return next
}

// endsAt returns a run with the same folder that ends at the nth request of method for a path with
// word in it.
func (a *attempt) endsAt(n int, method, word string) *attempt {
	next := a.again()
	next.endAt = &request{method: method, word: word, n: n}
	return next
}

func (a *attempt) run(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if a.endAt != nil {
		a.config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &ending{next: next, at: a.endAt, end: cancel} })
	}
	clients := testenv.Must[*migrate.Hub](t)(migrate.NewHub(a.config))
	if a.answer == nil {
		a.answer = strings.NewReader("")
	}
	out := io.MultiWriter(&a.out, &endingWriter{step: a.endAfter, end: cancel})
	return migrate.New(clients, a.options, genericiooptions.IOStreams{In: a.answer, Out: out, ErrOut: &a.errOut}).Run(ctx)
}

// mustRun is run for what has to go well.
func (a *attempt) mustRun(t *testing.T) {
	t.Helper()
	require.NoError(t, a.run(t), "%s%s", a.out.String(), a.errOut.String())
}

// endingWriter ends a run when it tells of a step.
type endingWriter struct {
	step migrate.Step
	end  func()
}

func (w *endingWriter) Write(line []byte) (int, error) {
	if w.step != "" && bytes.HasPrefix(line, []byte(w.step)) {
		w.end()
	}
	return len(line), nil
}

// ending ends a run once a request has been answered. The answer is lost to the run.
type ending struct {
	next http.RoundTripper
	at   *request
	end  func()
}

func (e *ending) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := e.next.RoundTrip(r)
	if r.Method != e.at.method || !strings.Contains(r.URL.Path, e.at.word) {
		return response, err
	}
	if e.at.n--; e.at.n > 0 || err != nil {
		return response, err
	}
	response.Body.Close()
	e.end()
	return nil, context.Canceled
}
