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

type (
	meterKey struct{}
	gateKey  struct{}
)

// WithMeter counts the requests that are sent under the context it returns.
func WithMeter(ctx context.Context) (context.Context, *Meter) {
	m := &Meter{}
	return context.WithValue(ctx, meterKey{}, m), m
}

// WithGate has each request under the context it returns wait for pass: a
// listing takes as many as it finds pages, which nobody knows before.
func WithGate(ctx context.Context, pass func(context.Context) error) context.Context {
	return context.WithValue(ctx, gateKey{}, pass)
}

// CountRequest waits until one request may leave, and notes it; a client calls
// it before it sends.
func CountRequest(ctx context.Context) error {
	if pass, ok := ctx.Value(gateKey{}).(func(context.Context) error); ok {
		if err := pass(ctx); err != nil {
			return err
		}
	}
	if m, ok := ctx.Value(meterKey{}).(*Meter); ok {
		m.n.Add(1)
	}
	return nil
}
