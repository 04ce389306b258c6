// Package notify tells people that something waits for them: one message for
// all exceptions of a kind at a target, by e-mail and by webhook.
package notify

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"time"
)

// Message is one message about exceptions that are alike. It holds ids and
// what went wrong, never names or amounts: mail travels further than the books.
type Message struct {
	// ID is the same whenever the message is sent again, so that a receiver
	// can drop a repeat.
	ID      string    `json:"id"`
	Tenant  string    `json:"tenant"`
	Target  string    `json:"target"`
	Kind    string    `json:"kind"`
	Owner   string    `json:"owner"`
	Count   int64     `json:"count"`
	Oldest  time.Time `json:"oldest"`
	Reasons []Reason  `json:"reasons"`
	Fix     string    `json:"fix"`
	Next    string    `json:"next"`
	Console string    `json:"console,omitempty"`
	Runbook string    `json:"runbook"`
}

// Reason is one thing that went wrong, how often, and some of the records.
type Reason struct {
	Reason  string   `json:"reason"`
	Count   int64    `json:"count"`
	Records []string `json:"records"`
}

const (
	reasonsNamed = 5
	recordsNamed = 3
)

// Group folds what went wrong into reasons, the most frequent first; what is
// not named stays counted.
func Group(reasons, records []string) []Reason {
	at := map[string]int{}
	var out []Reason
	for i, text := range reasons {
		k, ok := at[text]
		if !ok {
			k = len(out)
			at[text] = k
			out = append(out, Reason{Reason: text})
		}
		out[k].Count++
		if len(out[k].Records) < recordsNamed {
			out[k].Records = append(out[k].Records, records[i])
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Count > out[j].Count })
	if len(out) > reasonsNamed {
		rest := Reason{Reason: fmt.Sprintf("%d other reasons", len(out)-reasonsNamed), Records: []string{}}
		for _, r := range out[reasonsNamed:] {
			rest.Count += r.Count
		}
		out = append(out[:reasonsNamed:reasonsNamed], rest)
	}
	return out
}

// Subject is the message in a line.
func (m Message) Subject() string {
	what := "1 record waits"
	if m.Count > 1 {
		what = fmt.Sprintf("%d records wait", m.Count)
	}
	return fmt.Sprintf("[Tieout] %s for %s: %s at %s", what, m.Owner, m.Kind, m.Target)
}

// Text is the message as a person reads it.
func (m Message) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n", strings.TrimPrefix(m.Subject(), "[Tieout] "))
	for _, r := range m.Reasons {
		fmt.Fprintf(&b, "%6d × %s\n", r.Count, r.Reason)
		if len(r.Records) > 0 {
			fmt.Fprintf(&b, "         %s\n", strings.Join(r.Records, ", "))
		}
	}
	fmt.Fprintf(&b, "\nSince:      %s\nTo do:      %s\nSee:        %s\n", m.Oldest.UTC().Format(time.RFC3339), m.Fix, m.Next)
	if m.Console != "" {
		fmt.Fprintf(&b, "Console:    %s\n", m.Console)
	}
	fmt.Fprintf(&b, "Runbook:    %s\n\nNothing is lost: these records rest, and go on in order once this is done.\n", m.Runbook)
	return b.String()
}

// Channel carries messages to people.
type Channel interface {
	Name() string
	Send(ctx context.Context, m Message) error
}
