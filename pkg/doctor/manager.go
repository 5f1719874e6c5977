// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

const (
	// leaseGrace is how much later than its Lease says the controller manager may be. A successor may be
	// waiting for as long as that to take over.
	leaseGrace = 10 * time.Second
	// defaultLease is what a Lease that names no duration is taken to last.
	defaultLease = 15 * time.Second

	mendManager = "Start it, or see why it stopped: kubectl -n " + SystemNamespace + " logs deployment/" + managerName
)

// checkManager looks at the Lease of the controller manager that is at work.
func checkManager(ctx context.Context, e *examination) findings {
	var f findings
	lease, err := e.Kubernetes.CoordinationV1().Leases(SystemNamespace).Get(ctx, managerName, metav1.GetOptions{})
	about := "Lease " + SystemNamespace + "/" + managerName
	switch {
	case apierrors.IsNotFound(err):
		f.fail(about, mendManager, "there is none: no controller manager has run here (or with --leader-elect=false), and nothing is revoked")
	case err != nil:
		f.unknown(about, err)
	default:
		f.lease(about, lease, e.now())
	}
	return f
}

func (f *findings) lease(about string, lease *coordinationv1.Lease, now time.Time) {
	holder := ptr.Deref(lease.Spec.HolderIdentity, "")
	if holder == "" || lease.Spec.RenewTime == nil {
		f.fail(about, mendManager, "it has no holder: the controller manager was stopped, and nothing is revoked")
		return
	}
	renewed := lease.Spec.RenewTime.Time
	age := now.Sub(renewed)
	lasts := defaultLease
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil {
		lasts = time.Duration(*seconds) * time.Second
	}
	if age > lasts+leaseGrace {
		f.fail(about, mendManager, "%s has not renewed it since %s: the controller manager does not run, and nothing is revoked",
			holder, renewed.UTC().Format(time.RFC3339))
		return
	}
	f.ok(about, "held by %s, renewed %s ago", holder, max(age, 0).Round(time.Second))
}
