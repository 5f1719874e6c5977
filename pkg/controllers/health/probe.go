// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/rights"
	"clusterpass.dev/pkg/words"
)

// Reasons of the condition ControlPlaneHealthy, and of Joined.
const (
	// ReasonReady: the member's /readyz says ok.
	ReasonReady = "Ready"
	// ReasonNotReady: it says that it is not; the message names the checks that fail.
	ReasonNotReady = "NotReady"
	// ReasonTimeout: no answer in time.
	ReasonTimeout = "Timeout"
	// ReasonConnectionRefused: nothing listens at its address.
	ReasonConnectionRefused = "ConnectionRefused"
	// ReasonUnreachable: no connection, for another reason.
	ReasonUnreachable = "Unreachable"
	// ReasonTLSFailed: the two sides do not accept each other's certificates.
	ReasonTLSFailed = "TLSFailed"
	// ReasonUnauthorized: the member does not accept clusterpass's own credential.
	ReasonUnauthorized = "Unauthorized"
	// ReasonCredentialExpired: it does not, and the credential has ended; the message has the command
	// that mends it.
	ReasonCredentialExpired = "CredentialExpired" //nolint:gosec // a reason, not a credential
	// ReasonRightsLost: it does, and allows the hub nothing of what join had it allow; the message has
	// the command that mends it.
	ReasonRightsLost = "RightsLost"
	// ReasonForbidden: the member does not let clusterpass ask.
	ReasonForbidden = "Forbidden"
	// ReasonCredentialPluginFailed: the credential plugin gave no credential.
	ReasonCredentialPluginFailed = "CredentialPluginFailed" //nolint:gosec // a reason, not a credential
	// ReasonNoAccess: the profile has no access provider that can be used. Nothing is known of the
	// member.
	ReasonNoAccess = "NoAccess"
	// ReasonUnexpectedAnswer: it answers, and not as an API server does.
	ReasonUnexpectedAnswer = "UnexpectedAnswer"
)

const (
	// probeTimeout bounds a probe; half of the period does, too.
	probeTimeout = 5 * time.Second
	// reprobe is the part of the period after which a new kind of failure is looked into.
	reprobe = 3
	// maxReadyz bounds what is looked at of the answer of /readyz, in bytes. Hundreds of checks have
	// some ten thousand.
	maxReadyz = 64 << 10
)

// observed is what is known of one member cluster.
type observed struct {
	// probe is the outcome of the last one.
	probe outcome
	// since is when the outcomes have begun to be what they are, by status.
	since time.Time
	// joined is the status of Joined that the last probe with an answer to that means, joinedSince
	// when it has become that.
	joined      metav1.ConditionStatus
	joinedSince time.Time
	// failures counts those in a row.
	failures int
	// doubtful says that the last one failed, and not as the one before: the next one need not wait
	// for its turn.
	doubtful bool
	// facts are as of factsAt.
	facts   facts
	factsAt time.Time
	// rightsLost is what the member allows no more, in words; empty if it does, or is not known to. It
	// is asked at some probes.
	rightsLost  string
	untilRights int
	// told is the reason of the last event about a failure of access to the member of a profile of
	// another manager; empty if it has been said, or need not be, that there is access.
	told   string
	toldAt time.Time
	// lastWrite is when the profile's status was written last, by us.
	lastWrite time.Time
	// identified is whether the label inventory-member-id was written, by us, or could not be.
	identified bool
}

// outcome is what a probe tells.
type outcome struct {
	status          metav1.ConditionStatus
	reason, message string
}

// note takes the outcome of one more probe in.
func (o *observed) note(now time.Time, probe outcome) {
	if probe.status != o.probe.status {
		o.since = now
	}
	o.doubtful = probe.reason != o.probe.reason
	o.probe = probe
	o.failures++
	if probe.status == metav1.ConditionTrue {
		o.failures, o.doubtful = 0, false
	}
}

// noteMembership takes in what the last probe, which began at now, says of Joined.
func (o *observed) noteMembership(now time.Time) {
	if joined, ok := o.membership(); ok && joined.status != o.joined {
		o.joined, o.joinedSince = joined.status, now
	}
}

// observe probes the member, and reads its facts when they are due, or when it is back: it may have
// been upgraded.
func (c *Controller) observe(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, o *observed) {
	wasDown := o.failures > 0
	client, err := c.Members.For(ctx, profile)
	if err != nil {
		now := c.Clock.Now()
		o.note(now, outcome{metav1.ConditionUnknown, ReasonNoAccess, words.Message(wordsOf(err))})
		o.noteMembership(now)
		probes.WithLabelValues(ReasonNoAccess).Inc()
		return
	}
	began := c.Clock.Now()
	probe := c.probe(ctx, profile, client)
	if ctx.Err() != nil {
		return
	}
	probeDuration.Observe(c.Clock.Since(began).Seconds())
	probes.WithLabelValues(probe.reason).Inc()
	// When the answer was asked for, not when a timeout was over.
	o.note(began, probe)
	if o.failures == 0 {
		o.askRights(ctx, client)
	}
	o.noteMembership(began)
	if o.failures > 0 {
		klog.FromContext(ctx).V(2).Info("The member is not healthy", "reason", probe.reason, "message", probe.message, "probes", o.failures)
		return
	}
	if !c.isOurs(profile) {
		return
	}
	if wasDown || o.factsAt.IsZero() || c.Clock.Since(o.factsAt) >= c.FactsPeriod {
		o.facts.read(ctx, client, profile.Status.Properties)
		o.factsAt = c.Clock.Now()
	}
}

// probe asks the member how it is. It asks even when the member has not answered lately, and by
// that lets others know that it is back.
func (c *Controller) probe(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, client *member.Client) outcome {
	timeout := min(probeTimeout, c.ProbePeriod/2)
	ctx, cancel := context.WithTimeoutCause(member.Insist(ctx), timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	body, err := client.Kubernetes().Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Raw()
	if err == nil {
		return outcome{metav1.ConditionTrue, ReasonReady, "The API server says that it is ready"}
	}
	if checks := failedChecks(string(body[:min(len(body), maxReadyz)])); len(checks) > 0 {
		return outcome{metav1.ConditionFalse, ReasonNotReady,
			words.Message("The API server says that it is not ready: " + strings.Join(checks, ", "))}
	}
	err = client.Error(err, "ask whether it is ready")
	if end := client.Validity().NotAfter; !end.IsZero() && end.Before(c.Clock.Now()) && reasonOf(err) == ReasonUnauthorized {
		return outcome{metav1.ConditionFalse, ReasonCredentialExpired, fmt.Sprintf("The hub's credential for the member expired at %s. %s",
			end.UTC().Format(time.RFC3339), member.MendCredential(profile))}
	}
	message := wordsOf(err)
	if reasonOf(err) == ReasonUnauthorized {
		mend := member.MendCredential(profile)
		message = words.Clean(message, words.MaxMessage-len(mend)-2) + ". " + mend
	}
	return outcome{metav1.ConditionFalse, reasonOf(err), words.Message(message)}
}

// failedChecks returns the names of the checks that /readyz says have failed, in their order.
func failedChecks(body string) []string {
	var failed []string
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, "[-]"); ok {
			failed = append(failed, strings.Fields(rest + " ?")[0])
		}
	}
	return failed
}

// reasonOf returns the reason that an error of a member's client is.
func reasonOf(err error) string {
	switch {
	case apierrors.HasStatusCause(err, member.CauseTimeout):
		return ReasonTimeout
	case apierrors.HasStatusCause(err, member.CauseUnreachable):
		// The client keeps no type that would tell.
		if strings.Contains(err.Error(), "connection refused") {
			return ReasonConnectionRefused
		}
		return ReasonUnreachable
	case apierrors.HasStatusCause(err, member.CauseTLS):
		return ReasonTLSFailed
	case apierrors.HasStatusCause(err, member.CauseUnauthorized):
		return ReasonUnauthorized
	case apierrors.HasStatusCause(err, member.CauseForbidden):
		return ReasonForbidden
	case apierrors.HasStatusCause(err, member.CausePlugin):
		return ReasonCredentialPluginFailed
	}
	return ReasonUnexpectedAnswer
}

// wordsOf returns the words for users in an error: those of its cause, without the name of the
// cluster.
func wordsOf(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		if details := status.Status().Details; details != nil && len(details.Causes) > 0 {
			return details.Causes[0].Message
		}
	}
	return err.Error()
}

// rightsEvery is after how many probes the rights on a member are reviewed again.
const rightsEvery = 4

// expectedRights are two that every member gives its hub, by one ClusterRole. A member that gives
// neither has lost that role or its binding.
var expectedRights = []authorizationv1.ResourceAttributes{
	{Verb: "list", Resource: "serviceaccounts"},
	{Verb: "create", Group: rbacv1.GroupName, Resource: "clusterrolebindings"},
}

// askRights reviews whether the member allows the hub anything. Its health does not show that:
// every user may read /readyz. If the review fails, nothing changes.
func (o *observed) askRights(ctx context.Context, client *member.Client) {
	if o.untilRights--; o.untilRights > 0 && o.rightsLost == "" {
		return
	}
	o.untilRights = rightsEvery
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("no answer within %s", probeTimeout))
	defer cancel()
	for _, right := range expectedRights {
		missing, err := rights.Missing(ctx, client.Kubernetes(), right, right.Verb)
		if err != nil {
			klog.FromContext(ctx).V(2).Info("The rights on a member are not known", "reason", client.Error(err, "review its rights"))
			return
		}
		if len(missing) == 0 {
			o.rightsLost = ""
			return
		}
	}
	o.rightsLost = "The member accepts the hub's credential but allows it neither to list its serviceaccounts nor to create " +
		"clusterrolebindings: the ClusterRole clusterpass or its ClusterRoleBinding is lost"
}
