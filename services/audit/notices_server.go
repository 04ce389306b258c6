package audit

import (
	"context"
	"errors"
	"math"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/audit/notify"
	"tieout.dev/services/internal/control"
	"tieout.dev/services/internal/store"
)

// ListNotifications lists messages, newest first.
func (s *Server) ListNotifications(ctx context.Context, r *controlv1.ListNotificationsRequest) (*controlv1.ListNotificationsResponse, error) {
	page, err := control.PageOf(r.GetLimit(), r.GetNext(), math.MaxInt64) // the newest first
	if err != nil {
		return nil, err
	}
	scope, err := control.Scope(ctx, s.a.deps.Registry)
	if err != nil {
		return nil, err
	}
	theirs, args := store.Under("tenant", scope.Tenants, []any{page.Limit + 1, page.At, page.ID})
	out := &controlv1.ListNotificationsResponse{}
	err = s.a.deps.DB.Read(ctx, func(tx *store.Tx) (err error) {
		rows, err := tx.Query(`SELECT id, channel, kind, target, count, state, attempts, made_at, sent_at, error FROM message
			WHERE (made_at < $2 OR made_at = $2 AND id || '/' || channel > $3) AND `+theirs+` ORDER BY made_at DESC, id || '/' || channel LIMIT $1`,
			args...)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		for rows.Next() {
			n := &controlv1.Notification{}
			var made, sent int64
			if err := rows.Scan(&n.Id, &n.Channel, &n.Kind, &n.Target, &n.Count, &n.State, &n.Attempts, &made, &sent, &n.Error); err != nil {
				return err
			}
			n.MadeAt = timestamppb.New(store.Time(made))
			if sent > 0 {
				n.SentAt = timestamppb.New(store.Time(sent))
			}
			out.Items = append(out.Items, n)
		}
		return rows.Err()
	})
	out.Items, out.Next = control.CutPage(page, out.Items, func(n *controlv1.Notification) (int64, string) {
		return store.Micros(n.GetMadeAt().AsTime()), n.GetId() + "/" + n.GetChannel()
	})
	return out, err
}

// TestNotification sends a message to every channel at once.
func (s *Server) TestNotification(ctx context.Context, _ *controlv1.TestNotificationRequest) (*controlv1.TestNotificationResponse, error) {
	n := s.a.deps.Notices
	if len(n.Channels) == 0 {
		return nil, status.Error(codes.FailedPrecondition, "nobody is notified: configure notify.webhook.url or notify.smtp.address of audit")
	}
	now := s.a.deps.Now().UTC()
	m := notify.Message{
		ID: "n-test-" + strconv.FormatInt(now.UnixMicro(), 36), Kind: "test", Owner: "finance", Target: "this installation", Oldest: now,
		Reasons: []notify.Reason{}, Fix: "nothing: this is a test", Next: "tieout notifications list", Console: n.Console, Runbook: n.Runbook,
	}
	out := &controlv1.TestNotificationResponse{}
	for _, c := range n.Channels {
		result := &controlv1.ChannelResult{Channel: c.Name()}
		if err := c.Send(ctx, m); err != nil {
			result.Error = err.Error()
		}
		out.Items = append(out.Items, result)
	}
	return out, nil
}
