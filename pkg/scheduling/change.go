// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"maps"
)

// Change is what has changed about one cluster of a fleet.
type Change struct {
	// before is nil for a cluster that was added, and after for one that was deleted.
	before, after *member
	now           int64
}

// Touched returns whether a change can make the policy decide otherwise, or earlier or later: only
// then is a pass worth while. It evaluates no expressions: a policy that has some is touched by
// every change of its candidates.
func (p *Policy) Touched(change *Change) bool {
	if p.evaluates {
		return p.isCandidate(change.before) || p.isCandidate(change.after)
	}
	before, after := p.outlook(change.before, change.now), p.outlook(change.after, change.now)
	if before == nil && after == nil {
		return false
	}
	if before == nil || after == nil || before.differs(after) {
		return true
	}
	return after.hopeful() && (p.readsOtherwise(change) || p.dividesOtherwise(change.before, change.after))
}

// outlook is what becomes of a candidate, where it is not selected so far, and where it is.
type outlook [2]prospect

type prospect struct {
	passes bool
	until  int64
}

func (p *Policy) isCandidate(m *member) bool { return m != nil && p.namespaces.Has(m.Namespace) }

// outlook returns nil for what is no candidate.
func (p *Policy) outlook(m *member, now int64) *outlook {
	if !p.isCandidate(m) {
		return nil
	}
	var o outlook
	for i, selected := range []bool{false, true} {
		o[i].until, o[i].passes = p.filter(&candidate{member: m, now: now, selected: selected})
	}
	return &o
}

// differs returns whether the later outlook is another one. If the cluster will only pass for
// longer, nothing is to be done now.
func (o *outlook) differs(later *outlook) bool {
	for i := range o {
		if o[i].passes != later[i].passes || o[i].until > later[i].until {
			return true
		}
	}
	return false
}

// hopeful returns whether the cluster may pass at all.
func (o *outlook) hopeful() bool { return o[0].passes || o[1].passes }

// readsOtherwise returns whether any prioritiser reads something else.
func (p *Policy) readsOtherwise(change *Change) bool {
	for i := range p.prioritizers {
		before := p.prioritizers[i].read(&candidate{member: change.before, now: change.now})
		after := p.prioritizers[i].read(&candidate{member: change.after, now: change.now})
		if before.until > after.until {
			return true
		}
		before.until = after.until
		if before != after {
			return true
		}
	}
	return false
}

// dividesOtherwise returns whether the cluster may belong to another topology or group.
func (p *Policy) dividesOtherwise(before, after *member) bool {
	return (p.spread.active() || len(p.groups.named) > 0) &&
		(!maps.Equal(before.Labels, after.Labels) || !maps.Equal(before.Properties, after.Properties))
}
