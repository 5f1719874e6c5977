// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"

	"k8s.io/klog/v2"
)

// maxQuietLevel is the last level at which client-go logs no bodies.
const maxQuietLevel = 7

// Quiet returns ctx with a logger that drops everything above level 7. From level 8 on, client-go
// logs the bodies of requests and answers. Every call with a token or a key in a body therefore
// needs this context.
func Quiet(ctx context.Context) context.Context {
	logger := klog.FromContext(ctx)
	sink := logger.GetSink()
	if sink == nil {
		return ctx
	}
	return klog.NewContext(ctx, logger.WithSink(quietSink{LogSink: sink}))
}

// quietSink drops what is above maxQuietLevel and passes the rest to another sink.
type quietSink struct {
	klog.LogSink
}

// Enabled returns whether level is logged.
func (s quietSink) Enabled(level int) bool {
	return level <= maxQuietLevel && s.LogSink.Enabled(level)
}

// WithValues returns the sink with more keys and values.
func (s quietSink) WithValues(keysAndValues ...any) klog.LogSink {
	return quietSink{LogSink: s.LogSink.WithValues(keysAndValues...)}
}

// WithName returns the sink with a name added.
func (s quietSink) WithName(name string) klog.LogSink {
	return quietSink{LogSink: s.LogSink.WithName(name)}
}

// WithCallDepth returns the sink for a caller that is depth frames further up.
func (s quietSink) WithCallDepth(depth int) klog.LogSink {
	if sink, ok := s.LogSink.(interface{ WithCallDepth(depth int) klog.LogSink }); ok {
		return quietSink{LogSink: sink.WithCallDepth(depth)}
	}
	return s
}
