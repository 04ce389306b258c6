package control

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Router is one address for all services: it passes each call on by the name of
// its gRPC service and looks at nothing else. The caller's token goes with it.
type Router struct {
	server *grpc.Server

	mu     sync.Mutex
	routes map[string][]*grpc.ClientConn // by the service's last name: ingest, writer, …
	next   map[string]int                // whose turn it is, by service
}

// NewRouter makes a router that leads nowhere yet.
func NewRouter() *Router {
	r := &Router{routes: map[string][]*grpc.ClientConn{}, next: map[string]int{}}
	r.server = grpc.NewServer(grpc.UnknownServiceHandler(r.pass), grpc.ForceServerCodec(raw{}))
	return r
}

// Route leads to a service's replicas, in turns. What led there before is closed.
func (r *Router) Route(service string, addresses ...string) error {
	var conns []*grpc.ClientConn
	for _, a := range addresses {
		c, err := grpc.NewClient("passthrough:///"+a, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return fmt.Errorf("route to %s: %w", service, err)
		}
		conns = append(conns, c)
	}
	r.mu.Lock()
	old := r.routes[service]
	r.routes[service] = conns
	r.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
	return nil
}

// Serve answers until Stop.
func (r *Router) Serve(l net.Listener) error { return r.server.Serve(l) }

// Stop ends all calls.
func (r *Router) Stop() {
	r.server.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, conns := range r.routes {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	clear(r.routes)
}

// pass hands a call on. It is never tried again: only the caller knows whether
// that would be safe.
func (r *Router) pass(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	conn := r.conn(nameOf(method))
	if conn == nil {
		return status.Errorf(codes.Unavailable, "nothing here serves %s", method)
	}
	var in, out frame
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	if err := conn.Invoke(outgoing(stream.Context()), method, &in, &out, grpc.ForceCodec(raw{})); err != nil {
		return err
	}
	return stream.SendMsg(&out)
}

// conn picks a replica: one that is connected, if any is.
func (r *Router) conn(service string) *grpc.ClientConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	conns := r.routes[service]
	if len(conns) == 0 {
		return nil
	}
	r.next[service]++
	turn := r.next[service]
	best := conns[turn%len(conns)]
	for i := range conns {
		c := conns[(turn+i)%len(conns)]
		switch c.GetState() {
		case connectivity.Ready:
			return c
		case connectivity.Idle:
			c.Connect()
			best = c
		}
	}
	return best
}

// nameOf is "writer" in /tieout.control.v1.WriterService/WriterStatus.
func nameOf(method string) string {
	service, _, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return strings.ToLower(strings.TrimSuffix(service[strings.LastIndexByte(service, '.')+1:], "Service"))
}

// outgoing carries what the caller sent along.
func outgoing(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	out := metadata.MD{}
	for key, values := range md {
		if !strings.HasPrefix(key, ":") && !strings.HasPrefix(key, "grpc-") && key != "content-type" && key != "user-agent" {
			out[key] = values
		}
	}
	return metadata.NewOutgoingContext(ctx, out)
}

// frame is a message that is not looked into.
type frame struct{ bytes []byte }

// raw passes frames through as they are.
type raw struct{}

// Marshal returns the bytes.
func (raw) Marshal(v any) ([]byte, error) { return v.(*frame).bytes, nil }

// Unmarshal keeps the bytes.
func (raw) Unmarshal(data []byte, v any) error {
	v.(*frame).bytes = append([]byte(nil), data...)
	return nil
}

// Name is protobuf's, whose messages these are.
func (raw) Name() string { return "proto" }
