package notify_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/audit/notify"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func message() notify.Message {
	return notify.Message{
		ID: "n-1", Target: "quickbooks/1", Kind: "tax", Owner: "finance", Count: 7, Oldest: time.Unix(1700000000, 0), Fix: "bind the tax code", Next: "tieout exceptions list",
		Reasons: notify.Group([]string{"a", "b", "b", "c", "d", "e", "f"}, []string{"1", "2", "3", "4", "5", "6", "7"}), Runbook: "docs/runbook/tax.md",
	}
}

func TestReasonsAreGroupedTheMostFrequentFirstAndAllCounted(t *testing.T) {
	got := message().Reasons
	if len(got) != 6 || got[0].Reason != "b" || got[0].Count != 2 || len(got[0].Records) != 2 || got[5].Reason != "1 other reasons" {
		t.Errorf("got %+v", got)
	}
	var n int64
	for _, r := range got {
		n += r.Count
	}
	if n != 7 {
		t.Errorf("%d are counted, want 7", n)
	}
}

// The vector of the Standard Webhooks specification.
func TestSignatureIsTheSpecifications(t *testing.T) {
	key, err := notify.Key(secret)
	if err != nil {
		t.Fatal(err)
	}
	got := notify.Sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWebhookIsSigned(t *testing.T) {
	var h http.Header
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h = r.Header
		body, _ = io.ReadAll(r.Body)
	}))
	defer server.Close()
	w := notify.Webhook{URL: server.URL, Secret: secret, Now: func() time.Time { return time.Unix(1700000000, 0) }}
	if err := w.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	key, err := notify.Key(secret)
	if err != nil {
		t.Fatal(err)
	}
	if h.Get("webhook-id") != "n-1" || h.Get("webhook-timestamp") != "1700000000" || h.Get("webhook-signature") != notify.Sign(key, "n-1", "1700000000", body) {
		t.Errorf("headers %v", h)
	}
}

func TestWebhookThatRefusesIsAnError(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you", http.StatusForbidden) }))
	defer server.Close()
	err := notify.Webhook{URL: server.URL, Now: time.Now}.Send(t.Context(), message())
	if err == nil || !strings.Contains(err.Error(), "403") || !strings.Contains(err.Error(), "who are you") {
		t.Errorf("got %v", err)
	}
}

// mailServer takes one letter as SMTP has it and returns what it was told.
func mailServer(t *testing.T) (address string, letters <-chan string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		out <- converse(conn)
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), out
}

func converse(conn net.Conn) string {
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	in, said, data := bufio.NewScanner(conn), strings.Builder{}, false
	fmt.Fprint(conn, "220 here\r\n")
	for in.Scan() {
		line := in.Text()
		said.WriteString(line + "\n")
		switch {
		case data && line == ".":
			data = false
			fmt.Fprint(conn, "250 taken\r\n")
		case data:
		case strings.HasPrefix(line, "DATA"):
			data = true
			fmt.Fprint(conn, "354 go on\r\n")
		case strings.HasPrefix(line, "QUIT"):
			fmt.Fprint(conn, "221 bye\r\n")
			return said.String()
		default:
			fmt.Fprint(conn, "250 fine\r\n")
		}
	}
	return said.String()
}

func TestEmailReachesThePeopleOfTheOwner(t *testing.T) {
	address, letters := mailServer(t)
	e := notify.Email{Address: address, From: "tieout@acme.example", Plain: true, To: map[string][]string{"finance": {"clerk@acme.example"}, "": {"ops@acme.example"}}}
	if err := e.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	letter := <-letters
	for _, want := range []string{"RCPT TO:<clerk@acme.example>", "Message-ID: <n-1@127.0.0.1>", "Subject: [Tieout] 7 records wait for finance: tax at quickbooks/1", "bind the tax code", "tieout exceptions list", "Auto-Submitted: auto-generated"} {
		if !strings.Contains(letter, want) {
			t.Errorf("the letter lacks %q:\n%s", want, letter)
		}
	}
	if strings.Contains(letter, "ops@acme.example") {
		t.Error("the letter went to people who do not own it")
	}
}

func TestEmailRefusesAServerWithoutTLS(t *testing.T) {
	address, _ := mailServer(t)
	err := notify.Email{Address: address, From: "tieout@acme.example", To: map[string][]string{"": {"ops@acme.example"}}}.Send(t.Context(), message())
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "tls") {
		t.Errorf("got %v", err)
	}
}

func TestEveryMistakeIsReportedAtOnce(t *testing.T) {
	env := map[string]string{
		"TIEOUT_NOTIFY_WEBHOOK_URL": "ftp://x", "TIEOUT_NOTIFY_WEBHOOK_SECRET_FILE": "key", "TIEOUT_NOTIFY_SMTP_ADDRESS": "mail.example", "TIEOUT_NOTIFY_SMTP_FROM": "nobody",
		"TIEOUT_NOTIFY_SMTP_TO": "chief=a@x.example,finance=nothing",
	}
	c, err := notify.FromEnv(func(k string) string { return env[k] }, func(string) ([]byte, error) { return []byte("short"), nil })
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Channels(time.Now)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"notify.webhook.url", "secret", "host:port", "notify.smtp.from", `owner "chief"`, "finance=nothing"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error lacks %q: %v", want, err)
		}
	}
	if _, err := notify.FromEnv(func(k string) string { return map[string]string{"TIEOUT_NOTIFY_SMTP_PASSWORD_FILE": "gone"}[k] }, os.ReadFile); err == nil {
		t.Error("a secret's file that is not there is no error")
	}
}
