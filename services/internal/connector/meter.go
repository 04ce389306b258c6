package connector

import (
	"context"
	"sync/atomic"
)

// Meter counts the requests that a task really took; how many it would take was
// an estimate.
type Meter struct{ n atomic.Int64 }

// Requests is how many were counted.
func (m *Meter) Requests() int { return int(m.n.Load()) }

type meterKey struct{}

// WithMeter counts the requests that are sent under the context it returns.
func WithMeter(ctx context.Context) (context.Context, *Meter) {
	m := &Meter{}
	return context.WithValue(ctx, meterKey{}, m), m
}

// CountRequest notes one request; a client calls it before it sends.
func CountRequest(ctx context.Context) {
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		m.n.Add(1)
	}
}
