package control

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
)

func tcp(t *testing.T, serve func(net.Listener) error, stop func()) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = serve(l) }()
	t.Cleanup(stop)
	return l.Addr().String()
}

// named answers with its own name, and remembers nothing.
type named struct {
	controlv1.UnimplementedWriterServiceServer
	name string
}

func (n named) Token(_ context.Context, r *controlv1.TokenRequest) (*controlv1.TokenResponse, error) {
	if r.GetConnection() == "unknown" {
		return nil, status.Error(codes.NotFound, "there is no connection unknown")
	}
	return &controlv1.TokenResponse{AccessToken: n.name + " for " + r.GetConnection()}, nil
}

func replica(t *testing.T, name, token string) (string, *Server) {
	t.Helper()
	s := NewServer(token)
	controlv1.RegisterWriterServiceServer(s, named{name: name})
	return tcp(t, s.Serve, s.Stop), s
}

func router(t *testing.T, token string, writers ...string) (controlv1.WriterServiceClient, *grpc.ClientConn, *Router) {
	t.Helper()
	r := NewRouter()
	if err := r.Route("writer", writers...); err != nil {
		t.Fatal(err)
	}
	conn, err := Dial(tcp(t, r.Serve, r.Stop), token, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return controlv1.NewWriterServiceClient(conn), conn, r
}

// Calls go to the service that they name, to each replica in turn, with the
// caller's token and the callee's error.
func TestRouterLeadsByServiceName(t *testing.T) {
	a, _ := replica(t, "a", "right")
	b, _ := replica(t, "b", "right")
	writer, conn, _ := router(t, "right", a, b)
	seen := map[string]bool{}
	for deadline := time.Now().Add(10 * time.Second); len(seen) < 2 && time.Now().Before(deadline); {
		res, err := writer.Token(t.Context(), &controlv1.TokenRequest{Connection: "books"})
		if err != nil {
			t.Fatal(err)
		}
		seen[res.GetAccessToken()] = true
	}
	if !seen["a for books"] || !seen["b for books"] {
		t.Errorf("answers %v", seen)
	}
	if _, err := writer.Token(t.Context(), &controlv1.TokenRequest{Connection: "unknown"}); status.Code(err) != codes.NotFound {
		t.Errorf("the callee's error came as %v", err)
	}
	if _, err := controlv1.NewIngestServiceClient(conn).Poll(t.Context(), &controlv1.PollRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("a service that is nowhere: %v", err)
	}
}

func TestRouterAddsNoRights(t *testing.T) {
	a, _ := replica(t, "a", "right")
	writer, _, _ := router(t, "wrong", a)
	if _, err := writer.Token(t.Context(), &controlv1.TokenRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a wrong token: %v", err)
	}
}

// While one replica is gone the other one answers every call.
func TestRouterAvoidsADeadReplica(t *testing.T) {
	a, dying := replica(t, "a", "right")
	b, _ := replica(t, "b", "right")
	writer, _, _ := router(t, "right", a, b)
	for range 10 {
		if _, err := writer.Token(t.Context(), &controlv1.TokenRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	dying.Stop()
	failed := 0
	for range 40 {
		if _, err := writer.Token(t.Context(), &controlv1.TokenRequest{}); err != nil {
			failed++
		}
	}
	if failed > 2 { // what was under way when it died, no more
		t.Errorf("%d of 40 calls failed", failed)
	}
}

// Before its service is made, a server answers health and asks for patience.
func TestServerThatStarts(t *testing.T) {
	s := NewServer("right")
	s.Waiting("it waits for its parts")
	conn, err := Dial(tcp(t, s.Serve, s.Stop), "right", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	writer := controlv1.NewWriterServiceClient(conn)
	if _, err := writer.Token(t.Context(), &controlv1.TokenRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("before its start: %v", err)
	}
	controlv1.RegisterWriterServiceServer(s, named{name: "late"})
	if res, err := writer.Token(t.Context(), &controlv1.TokenRequest{Connection: "books"}); err != nil || res.GetAccessToken() != "late for books" {
		t.Errorf("after its start: %v, %v", res, err)
	}
	s.Waiting("")
	if _, err := writer.ListLinks(t.Context(), &controlv1.ListLinksRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("what is not there: %v", err)
	}
}
