// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"
	"time"
)

// waitingSpecs are those that take as long as the suite watches.
func waitingSpecs() []Spec {
	return []Spec{
		{
			ID: "watch-change", Side: Consumer, Level: Required, Ref: kep4322,
			Sentence: "A watch of one namespace tells of changes there and nowhere else; what it tells is what a list has.",
			check:    checkWatchChange,
		},
		{
			ID: "decision-rewrite", Side: Scheduler, Level: Required, Ref: kep5313,
			Sentence: "While the slices of a decision are written, a cluster that stays in the decision is missing after no write.",
			check:    checkRewrite,
		},
		{
			ID: "credential-renewed", Side: Consumer, Level: Required, Ref: kep5339,
			Sentence: "When a credential has expired, the plugin gives a new one that expires later and works.",
			check:    checkRenewed,
		},
		{
			ID: "member-id-kept", Side: Consumer, Level: Required, Ref: kep4322 + "#uniqueness-of-the-clusterprofile-object",
			Sentence: "A ClusterProfile keeps its inventory-member-id.",
			check:    checkIDKept,
		},
	}
}

func checkRewrite(ctx context.Context, h *hub) (string, error) {
	if _, err := h.allDecisions(ctx); err != nil {
		return "", err
	}
	log := &h.decisions
	if err := h.command(ctx, "change-decision", h.ChangeDecision); err != nil {
		return "", err
	}
	deadline := h.deadline
	if h.ChangeDecision != "" && time.Until(deadline) < settleTime {
		deadline = time.Now().Add(settleTime)
	}
	enough := func() bool { return log.moves > 0 || len(log.missing) > 0 }
	if err := log.recorder.until(ctx, deadline, enough); err != nil {
		return "", err
	}
	if err := log.recorder.untilQuiet(ctx, deadline); err != nil {
		return "", err
	}
	log.recorder.mu.Lock()
	defer log.recorder.mu.Unlock()
	switch {
	case len(log.missing) > 0:
		return "", violated("%s", these(log.missing))
	case log.moves == 0:
		return "", skipped("no cluster has moved from one slice into another in %s; --change-decision would have one move",
			time.Since(log.recorder.began).Round(time.Second))
	}
	return fmt.Sprintf("%d moves between slices, %s", log.moves, log.recorder.watched()), nil
}
