// Package control is the control plane's transport: one gRPC server that asks
// for a token, and connections that carry it. A server may hold one service or
// all of them; callers route by service name and cannot tell.
package control

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/registry"
)

const header = "authorization"

// Server is a control plane server. It may serve before its services are made:
// health answers, everything else is told to try again.
type Server struct {
	*grpc.Server
	Health *health.Server

	want []byte
	mu   sync.Mutex
	impl map[string]registered // by full method
	why  string                // what is waited for; "" once all services are here

	registry *registry.Registry // nil: no call is held to a tenant
}

type registered struct {
	method grpc.MethodDesc
	impl   any
	meter  *meter.Set
}

// NewServer returns a server that refuses callers without the token. Health
// answers without one.
func NewServer(token string) *Server {
	s := &Server{Health: health.NewServer(), want: []byte("Bearer " + token), impl: map[string]registered{}}
	s.Server = grpc.NewServer(grpc.UnknownServiceHandler(s.dispatch))
	healthv1.RegisterHealthServer(s.Server, s.Health)
	return s
}

// RegisterService adds a service, also while others are being served.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) { s.register(desc, impl, nil) }

// Measured adds services whose calls are measured.
func (s *Server) Measured(m *meter.Set) grpc.ServiceRegistrar { return measured{s, m} }

type measured struct {
	s *Server
	m *meter.Set
}

// RegisterService adds a service.
func (r measured) RegisterService(desc *grpc.ServiceDesc, impl any) { r.s.register(desc, impl, r.m) }

func (s *Server) register(desc *grpc.ServiceDesc, impl any, set *meter.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range desc.Methods {
		set.Know("rpc.method", desc.ServiceName+"/"+m.MethodName)
		s.impl["/"+desc.ServiceName+"/"+m.MethodName] = registered{m, impl, set}
	}
}

// Waiting says what is waited for before all services are here; "" means that
// they are.
func (s *Server) Waiting(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = why
}

// dispatch answers one call.
func (s *Server) dispatch(_ any, stream grpc.ServerStream) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	if got := md.Get(header); len(got) != 1 || subtle.ConstantTimeCompare([]byte(got[0]), s.want) != 1 {
		return status.Error(codes.Unauthenticated, "the token is missing or not accepted")
	}
	method, _ := grpc.MethodFromServerStream(stream)
	s.mu.Lock()
	r, known := s.impl[method]
	why, reg := s.why, s.registry
	s.mu.Unlock()
	switch {
	case !known && why != "":
		return status.Error(codes.Unavailable, "the service starts: "+why)
	case !known:
		return status.Errorf(codes.Unimplemented, "there is no %s here", method)
	}
	var hold grpc.UnaryServerInterceptor
	if reg != nil {
		hold = within(reg)
	}
	start := time.Now()
	res, err := r.method.Handler(r.impl, stream.Context(), stream.RecvMsg, hold)
	r.meter.Took(stream.Context(), meter.RPCDuration, time.Since(start), strings.TrimPrefix(method, "/"), status.Code(err).String())
	if err != nil {
		return err
	}
	return stream.SendMsg(res)
}

// Dialer opens the connection to an address; nil means TCP.
type Dialer func(ctx context.Context, address string) (net.Conn, error)

// Dial returns a connection that carries the token. It connects when it is
// first used. The token travels in the clear, so the address must be on this
// machine or behind TLS of its own.
func Dial(address, token string, dial Dialer) (*grpc.ClientConn, error) {
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			return invoke(metadata.AppendToOutgoingContext(ctx, header, "Bearer "+token), method, req, reply, cc, opts...)
		}),
	}
	if dial != nil {
		opts = append(opts, grpc.WithContextDialer(dial))
	}
	conn, err := grpc.NewClient("passthrough:///"+address, opts...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", address, err)
	}
	return conn, nil
}
