package audit_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/audit"
	"tieout.dev/services/audit/notify"
	"tieout.dev/services/internal/trail"
)

// inbox is a receiver of webhooks that refuses the first attempt.
type inbox struct {
	mu       sync.Mutex
	refused  int
	messages []notify.Message
	ids      []string
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	if i.refused == 0 {
		i.refused++
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	var m struct{ Data notify.Message }
	if err := json.Unmarshal(body, &m); err != nil {
		panic(err)
	}
	i.messages, i.ids = append(i.messages, m.Data), append(i.ids, r.Header.Get("webhook-id"))
}

func (i *inbox) got() []notify.Message {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]notify.Message(nil), i.messages...)
}

// opened is the fact of an exception.
func opened(n int, kind, reason string) trail.Fact {
	return trail.Fact{
		Stream: "writer/" + books + "/acme-ie", Type: "exception.opened", Tenant: "acme", Target: books, Subject: fmt.Sprintf("%s/deal/%d", crm, n), Outcome: kind,
		Detail: reason, Exception: fmt.Sprintf("w-%d", n), Time: time.Now().UTC(),
	}
}

// A thousand equal failures are one message; another kind is one of its own;
// what was settled before anybody was told is not told; a receiver that
// refuses is tried again under the same id.
func TestAThousandEqualFailuresAreOneMessage(t *testing.T) {
	in := &inbox{}
	server := httptest.NewServer(in)
	t.Cleanup(server.Close)
	w := newWorld(t, audit.Notices{Channels: []notify.Channel{notify.Webhook{URL: server.URL, Now: time.Now}}, Wait: time.Minute, Every: time.Hour, Runbook: "docs/runbook/"})
	w.run()
	var facts []trail.Fact
	for n := range 1000 {
		facts = append(facts, opened(n, "tax", "tax code Z9 does not exist"))
	}
	facts = append(facts, opened(2000, "period", "the books are closed"), opened(3000, "match", "settled at once"))
	settled := opened(3000, "match", "settled")
	settled.Type, settled.Outcome = "exception.acted", "retry"
	facts = append(facts, settled)
	for len(facts) > 0 {
		n := min(len(facts), 500)
		w.send(w.write(facts[:n]...)...)
		facts = facts[n:]
	}
	// Nobody is told before the wait is over, however slowly the facts come in.
	until(t, "what people are to be told", func() bool {
		return w.count(`SELECT COUNT(*) FROM notice`) == 1002 && w.count(`SELECT COUNT(*) FROM notice WHERE ended = 1`) == 1
	})
	if n := len(in.got()); n != 0 {
		t.Fatalf("%d messages before the wait was over", n)
	}
	w.ahead.Add(int64(2 * time.Minute))
	until(t, "a delivery that was refused", func() bool { return w.count(`SELECT COUNT(*) FROM message WHERE attempts = 1 AND state = 'due'`) == 1 })
	w.ahead.Add(int64(time.Minute))
	until(t, "two messages", func() bool { return w.count(`SELECT COUNT(*) FROM message WHERE state = 'sent'`) == 2 })
	got := in.got()
	if len(got) != 2 {
		t.Fatalf("%d messages, want 2: %+v", len(got), got)
	}
	for _, m := range got {
		switch m.Kind {
		case "tax":
			if m.Count != 1000 || len(m.Reasons) != 1 || m.Reasons[0].Count != 1000 || len(m.Reasons[0].Records) != 3 || m.Owner != "finance" || m.Fix == "" {
				t.Errorf("message of the thousand: %+v", m)
			}
		case "period":
			if m.Count != 1 {
				t.Errorf("message of the one: %+v", m)
			}
		default:
			t.Errorf("a message about %s, which was settled before", m.Kind)
		}
	}
	list, err := w.audit.Server().ListNotifications(t.Context(), &controlv1.ListNotificationsRequest{})
	if err != nil || len(list.GetItems()) != 2 || list.GetItems()[0].GetSentAt() == nil {
		t.Errorf("list: %v, %v", list, err)
	}
	one, err := w.audit.Server().ListNotifications(t.Context(), &controlv1.ListNotificationsRequest{Limit: 1})
	if err != nil || len(one.GetItems()) != 1 || one.GetNext() == "" {
		t.Errorf("the first one: %v, %v", one, err)
	}
	other, err := w.audit.Server().ListNotifications(t.Context(), &controlv1.ListNotificationsRequest{Limit: 1, Next: one.GetNext()})
	if err != nil || len(other.GetItems()) != 1 || other.GetNext() != "" || other.GetItems()[0].GetId() != list.GetItems()[1].GetId() {
		t.Errorf("the one after it: %v, %v", other, err)
	}
	if n := w.count(`SELECT MAX(attempts) FROM message`); n != 2 {
		t.Errorf("%d attempts for the message that was refused once, want 2", n)
	}
	// The same again within the hour waits for the hour.
	w.send(w.write(opened(5000, "tax", "tax code Z9 does not exist"), opened(5001, "size", "too large"))...)
	until(t, "two more to tell of", func() bool { return w.count(`SELECT COUNT(*) FROM notice`) == 1004 })
	w.ahead.Add(int64(2 * time.Minute))
	until(t, "the third message", func() bool { return len(in.got()) == 3 })
	if m := in.got()[2]; m.Kind != "size" {
		t.Errorf("the third message is about %s, want size: tax was told a moment ago", m.Kind)
	}
}

// Nobody configured is said, not ignored.
func TestATestNotificationSaysWhenNobodyIsNotified(t *testing.T) {
	w := newWorld(t, audit.Notices{})
	if _, err := w.audit.Server().TestNotification(t.Context(), &controlv1.TestNotificationRequest{}); err == nil || !strings.Contains(err.Error(), "notify.webhook.url") {
		t.Errorf("got %v", err)
	}
}

// A test message leads to a place that is there: the folder of the runbook.
func TestATestNotificationLeadsToTheRunbook(t *testing.T) {
	in := &inbox{refused: 1}
	server := httptest.NewServer(in)
	defer server.Close()
	w := newWorld(t, audit.Notices{Channels: []notify.Channel{notify.Webhook{URL: server.URL, Now: time.Now}}, Runbook: "docs/runbook/"})
	if _, err := w.audit.Server().TestNotification(t.Context(), &controlv1.TestNotificationRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := in.got(); len(got) != 1 {
		t.Fatalf("%d messages", len(got))
	} else if _, err := os.Stat("../../" + got[0].Runbook); err != nil {
		t.Error(err)
	}
}
