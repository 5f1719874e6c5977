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

// CauseIdentity is the cause in the details of a Status that refuses a request because a member is,
// or may be, another cluster than expected.
const CauseIdentity metav1.CauseType = "MemberIdentity"

const (
	// unknownFor is how long clusterpass waits before it asks again a member that does not report
	// its UID. It is refusedFor if requests fail because of that: a new member may refuse
	// everything in its first moments.
	unknownFor = 5 * time.Minute
	refusedFor = 10 * time.Second

	doingUID = "find out which cluster it is"
)

// memberUID caches the UID of a member.
type memberUID struct {
	clock clock.PassiveClock
	// required says that requests need the UID, because the access may lead to several clusters.
	required bool
	// turn is a lock that a context can interrupt. It guards the fields below.
	turn chan struct{}
	uid  types.UID
	// unknown is why the member did not report its UID, and since is when.
	unknown error
	since   time.Time
}

func newMemberUID(clock clock.PassiveClock, required bool) memberUID {
	return memberUID{clock: clock, required: required, turn: make(chan struct{}, 1)}
}

// MemberUID returns the UID of the member's namespace kube-system, which identifies the cluster. It
// asks the member once, because the client is for one server, CA and credential. If clusterpass may
// not read the namespace, the UID is empty, and a later call asks again. That is an error with
// CauseIdentity if users who edit the status of the ClusterProfile can choose the server. Errors
// are metav1.Status errors for the requester, unless ctx ended.
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
			"it is not known which cluster this is, and access provider %q may lead to several: let clusterpass get the namespace kube-system "+
				"there (kubectl apply -k artifacts/deploy/member): %s", c.entry.Name, clip(withoutUser(u.unknown.Error()))), 0)
	}
	return u.uid, nil
}

// askUID asks the member. The caller holds c.uid.turn.
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
	// The UID is stored on the hub and shown to users.
	if system.UID == "" || len(validation.IsValidLabelValue(string(system.UID))) > 0 {
		return &failure{cause: CauseAnswer, err: errors.New("the UID of its namespace kube-system is not valid"), blame: answered}
	}
	u.uid, u.unknown = system.UID, nil
	return nil
}
