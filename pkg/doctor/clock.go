// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// slightSkew is where a difference is worth a word: more than networks and whole seconds make up.
	slightSkew = 5 * time.Second
	// grossSkew is half of the 120 s that a token of 10 minutes, the shortest, has left when it is to
	// be refreshed.
	grossSkew = time.Minute
)

// skew is how far a clock is ahead of ours, and how exactly that is known.
type skew struct {
	value, uncertainty time.Duration
}

// exceeds returns whether it is more than limit for sure.
func (s skew) exceeds(limit time.Duration) bool { return s.value.Abs()-s.uncertainty > limit }

// String reads on from "the clock" and goes on with whose it is compared with.
func (s skew) String() string {
	const exact = 100 * time.Millisecond
	uncertainty := s.uncertainty.Round(exact)
	switch {
	case !s.exceeds(0):
		return fmt.Sprintf("agrees (± %s) with", uncertainty)
	case s.value < 0:
		return fmt.Sprintf("is %s (± %s) behind", -s.value.Round(exact), uncertainty)
	}
	return fmt.Sprintf("is %s (± %s) ahead of", s.value.Round(exact), uncertainty)
}

// newSkew compares the Date of an answer with our clock before the request and after the answer. A
// Date is cut off to seconds.
func newSkew(date, before, after time.Time) skew {
	least, most := date.Sub(after), date.Add(time.Second).Sub(before)
	return skew{value: (least + most) / 2, uncertainty: (most - least) / 2}
}

// measureSkew returns how far the hub's clock is ahead of ours.
func (e *examination) measureSkew(ctx context.Context) (skew, error) {
	// The first answer waits for the connection, the second does not.
	if _, err := e.askDate(ctx); err != nil {
		return skew{}, err
	}
	return e.askDate(ctx)
}

func (e *examination) askDate(ctx context.Context) (skew, error) {
	before := e.Clock.Now()
	response, err := e.Get(ctx, "/version", "application/json")
	if err != nil {
		return skew{}, err
	}
	after := e.Clock.Now()
	defer response.Body.Close()
	// The connection is used again once the answer has been read.
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxBody)); err != nil {
		return skew{}, err
	}
	date, err := http.ParseTime(response.Header.Get("Date"))
	if err != nil {
		return skew{}, fmt.Errorf("the hub's answer has no Date: %w", err)
	}
	return newSkew(date, before, after), nil
}

// checkClock compares this machine's clock with the hub's. All other checks go by the hub's.
func checkClock(_ context.Context, e *examination, f *findings) {
	if !f.unknown("", e.hub.skew.err) {
		f.clock("", "Correct the clock that is wrong", e.hub.skew.value, "the hub's clock %s this machine's",
			": tokens expire here before they are refreshed, or too late")
	}
}

// clock reports how far a clock is from another one. format has a place for how far, and gross says
// what comes of it where that is much.
func (f *findings) clock(about, mend string, measured skew, format, gross string) {
	mend += ", and keep it in sync by NTP: timedatectl timesync-status"
	switch {
	case measured.exceeds(grossSkew):
		f.fail(about, mend, format+gross, measured)
	case measured.exceeds(slightSkew):
		f.warn(about, mend, format, measured)
	default:
		f.ok(about, format, measured)
	}
}
