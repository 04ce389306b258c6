package control

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	controlv1 "tieout.dev/proto/control/v1"
)

type writer struct {
	controlv1.UnimplementedWriterServiceServer
	asked []string
}

func (w *writer) Token(_ context.Context, r *controlv1.TokenRequest) (*controlv1.TokenResponse, error) {
	w.asked = append(w.asked, r.GetRefused())
	return &controlv1.TokenResponse{AccessToken: "t" + r.GetRefused()}, nil
}

func serve(t *testing.T, token string) (*writer, func(string) *grpc.ClientConn) {
	t.Helper()
	w, s, l := &writer{}, NewServer(token), bufconn.Listen(1<<16)
	controlv1.RegisterWriterServiceServer(s, w)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return w, func(token string) *grpc.ClientConn {
		conn, err := Dial("bufconn", token, func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

// Without the token nothing but health answers.
func TestTokenIsAsked(t *testing.T) {
	_, dial := serve(t, "right")
	if _, err := controlv1.NewWriterServiceClient(dial("right")).Token(t.Context(), &controlv1.TokenRequest{}); err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "wrong", "righ"} {
		if _, err := controlv1.NewWriterServiceClient(dial(wrong)).Token(t.Context(), &controlv1.TokenRequest{}); status.Code(err) != codes.Unauthenticated {
			t.Errorf("token %q: %v", wrong, err)
		}
	}
	if _, err := healthv1.NewHealthClient(dial("wrong")).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Errorf("health asks for a token: %v", err)
	}
}

// The writer is asked once, and again only when the vendor refused the token.
func TestTokensAreRemembered(t *testing.T) {
	w, dial := serve(t, "x")
	tokens := NewTokens(controlv1.NewWriterServiceClient(dial("x")), "books")
	for range 3 {
		if got, err := tokens.Token(t.Context()); err != nil || got != "t" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if got, err := tokens.Refresh(t.Context(), "t"); err != nil || got != "tt" {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := tokens.Refresh(t.Context(), "t"); err != nil || got != "tt" {
		t.Fatalf("who comes second got %q, %v", got, err)
	}
	if len(w.asked) != 2 {
		t.Errorf("the writer was asked %d times", len(w.asked))
	}
}

// The same, dialled without our transport: the interceptor does not depend on it.
func TestPlainClientIsRefused(t *testing.T) {
	s, l := NewServer("x"), bufconn.Listen(1<<16)
	controlv1.RegisterWriterServiceServer(s, &writer{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := controlv1.NewWriterServiceClient(conn).Token(t.Context(), &controlv1.TokenRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Fatalf("%v", err)
	}
}
