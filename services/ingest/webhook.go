package ingest

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/crash"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/fault"
	"tieout.dev/services/internal/registry"
)

const (
	// maxWebhook bounds the body of a delivery.
	maxWebhook = 1 << 20
	// repeatFor is how long an exact repeat of a delivered item is dropped.
	repeatFor = 10 * time.Minute
)

// webhook answers 200 when every hint is durable. Nothing is fetched inline:
// the delivery only says where to look.
func (in *Ingest) webhook(w http.ResponseWriter, r *http.Request) {
	ctx, span := in.deps.Tracer.Start(r.Context(), "webhook "+r.PathValue("app"))
	defer span.End()
	conn, hook, ok := in.app(r.PathValue("app"))
	if !ok {
		http.Error(w, "no connection has a webhook app of this name", http.StatusNotFound)
		return
	}
	body, err := readBody(r, maxWebhook)
	switch {
	case errors.Is(err, errTooLarge):
		http.Error(w, "the body is larger than 1 MiB", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "the body was not read", http.StatusBadRequest)
		return
	}
	hints, err := hook.Receive(r, conn.PublicURL, body)
	if err != nil {
		in.deps.Log.WarnContext(ctx, "a webhook was refused", "app", conn.App, "error", err)
		http.Error(w, "the delivery is not accepted", statusOf(err))
		return
	}
	crash.At(crash.IngestWebhookReceived)
	// no record has such an id, and delivering it again would not help
	hints = slices.DeleteFunc(hints, func(h connector.Hint) bool { return !plain(h.Ref.ID) })
	fresh := in.unseen(r, conn, hints)
	if err := in.storeHints(ctx, fresh, event.Change, event.Realtime, nil); err != nil {
		in.deps.Log.ErrorContext(ctx, "hints were not stored", "app", conn.App, "error", err)
		http.Error(w, because(err)+"not stored; deliver again", http.StatusServiceUnavailable)
		return
	}
	crash.At(crash.IngestHintStored)
	// only now: before it is durable, a repeat must count
	in.memory().remember(ctx, repeatFor, deliveryKeys(conn, fresh)...)
	crash.At(crash.IngestDeliveryRemembered)
	w.WriteHeader(http.StatusOK)
}

func statusOf(err error) int {
	if fault.KindOf(err) == fault.Unauthorized {
		return http.StatusUnauthorized
	}
	return http.StatusBadRequest
}

// app returns the connection and webhook of a vendor app. All accounts of an
// app post to one address; the account stands in the body.
func (in *Ingest) app(name string) (registry.Connection, connector.Webhook, bool) {
	for _, c := range in.deps.Registry.Connections {
		if conn := in.deps.Connections[c.ID]; c.App == name && conn != nil && conn.Webhook != nil {
			return c, conn.Webhook, true
		}
	}
	return registry.Connection{}, nil, false
}

// unseen drops exact repeats by what Redis remembers. A wrong answer costs
// freshness only: the poll is the truth.
func (in *Ingest) unseen(r *http.Request, c registry.Connection, hints []connector.Hint) []connector.Hint {
	seen := in.memory().seen(r.Context(), deliveryKeys(c, hints)...)
	fresh := make([]connector.Hint, 0, len(hints))
	for _, h := range hints {
		if h.DeliveryID == "" || !seen[deliveryKey(c, h)] {
			fresh = append(fresh, h)
		}
	}
	in.dedup(r.Context(), "webhook", len(hints), len(fresh))
	return fresh
}

func (in *Ingest) memory() memory { return memory{in.deps.Redis, in.deps.Meter, in.deps.Log} }

func deliveryKeys(c registry.Connection, hints []connector.Hint) []string {
	keys := make([]string, 0, len(hints))
	for _, h := range hints {
		if h.DeliveryID != "" {
			keys = append(keys, deliveryKey(c, h))
		}
	}
	return keys
}

func deliveryKey(c registry.Connection, h connector.Hint) string {
	return "webhook:" + c.App + ":" + h.DeliveryID
}
