package control

import (
	"context"
	"sync"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
)

// tokens asks the writer, who alone refreshes, and remembers the answer until
// the vendor refuses it.
type tokens struct {
	writer     controlv1.WriterServiceClient
	connection string

	mu   sync.Mutex
	last string
}

// NewTokens returns a connection's tokens as the writer hands them out.
func NewTokens(writer controlv1.WriterServiceClient, connection string) connector.Tokens {
	return &tokens{writer: writer, connection: connection}
}

// Token returns the last token, or asks for one.
func (t *tokens) Token(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != "" {
		return t.last, nil
	}
	return t.ask(ctx, "")
}

// Refresh asks for another token than the refused one.
func (t *tokens) Refresh(ctx context.Context, refused string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last != "" && t.last != refused {
		return t.last, nil
	}
	return t.ask(ctx, refused)
}

func (t *tokens) ask(ctx context.Context, refused string) (string, error) {
	res, err := t.writer.Token(ctx, &controlv1.TokenRequest{Connection: t.connection, Refused: refused})
	if err != nil {
		t.last = ""
		return "", &fault.Error{Kind: fault.Unauthorized, Text: "the writer gave no token", Err: err}
	}
	t.last = res.GetAccessToken()
	return t.last, nil
}
