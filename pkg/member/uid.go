// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/clock"
)

// CauseIdentity is the type of the cause in the details of a Status that refuses something because a member is, or may be, another cluster
// than it should be.
const CauseIdentity metav1.CauseType = "MemberIdentity"

const (
	// unknownFor is for how long a member is not asked again that does not say which cluster it is, and refusedFor where
	// requests are refused for that: it may refuse everything in its first moments.
	unknownFor = 5 * time.Minute
	refusedFor = 10 * time.Second

	doingUID = "find out which cluster it is"
)

// memberUID is the UID of a member, as far as it is known.
type memberUID struct {
	clock clock.PassiveClock
	// required says that the member may be another one than its ClusterProfile is for.
	required bool
	// turn is taken by who asks, and guards what follows.
	turn chan struct{}
	uid  types.UID
	// unknown is why the member does not say, and since when.
	unknown error
	since   time.Time
}

func newMemberUID(clock clock.PassiveClock, required bool) memberUID {
	return memberUID{clock: clock, required: required, turn: make(chan struct{}, 1)}
}

// MemberUID returns the UID of the member's namespace kube-system, which identifies the cluster. The member is asked once: the
// client is for one server, CA and credential. Where the member does not let clusterpass know, the UID is empty, and the member is asked again
// some time later; that is an error, with CauseIdentity, where whoever edits the status of the ClusterProfile chooses the server. Errors
// are metav1.Status errors for the requester, but for the end of ctx.
func (c *Client) MemberUID(ctx context.Context) (types.UID, error) {
	u := &c.uid
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
	case <-ctx.Done():
		return "", c.Error(endOfContext(ctx), doingUID)
	}
	if u.uid != "" {
		return u.uid, nil
	}
	again := unknownFor
	if u.required {
		again = refusedFor
	}
	if u.unknown == nil || u.clock.Since(u.since) >= again {
		if err := c.askUID(ctx); err != nil {
			return "", c.Error(err, doingUID)
		}
	}
	if u.uid == "" && u.required {
		return "", newStatusError(c.name, http.StatusServiceUnavailable, CauseIdentity, fmt.Sprintf(
			"it is not known which cluster this is, and access provider %q may lead to several: let clusterpass get the namespace kube-system there "+
				"(kubectl apply -k artifacts/deploy/member): %s", c.entry.Name, clip(withoutUser(u.unknown.Error()))), 0)
	}
	return u.uid, nil
}

// askUID asks the member; c.uid.turn is taken.
func (c *Client) askUID(ctx context.Context) error {
	u := &c.uid
	system, err := c.own.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		u.unknown, u.since = err, u.clock.Now()
		return nil
	case err != nil:
		return err
	}
	// It is stored on the hub and shown to users.
	if system.UID == "" || len(validation.IsValidLabelValue(string(system.UID))) > 0 {
		return &failure{cause: CauseAnswer, err: errors.New("the UID of its namespace kube-system is not one"), blame: answered}
	}
	u.uid, u.unknown = system.UID, nil
	return nil
}
