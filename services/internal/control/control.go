// Package control is the control plane's transport: one gRPC server that asks
// for a token, and connections that carry it. A server may hold one service or
// all of them; callers route by service name and cannot tell.
package control

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const header = "authorization"

// Server is a control plane server.
type Server struct {
	*grpc.Server
	Health *health.Server
}

// NewServer returns a server that refuses callers without the token. Health
// answers without one.
func NewServer(token string) *Server {
	s := &Server{Server: grpc.NewServer(grpc.ChainUnaryInterceptor(requireToken(token))), Health: health.NewServer()}
	healthv1.RegisterHealthServer(s.Server, s.Health)
	return s
}

func requireToken(token string) grpc.UnaryServerInterceptor {
	want := []byte("Bearer " + token)
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if info.FullMethod == healthv1.Health_Check_FullMethodName {
			return handler(ctx, req)
		}
		md, _ := metadata.FromIncomingContext(ctx)
		if got := md.Get(header); len(got) != 1 || subtle.ConstantTimeCompare([]byte(got[0]), want) != 1 {
			return nil, status.Error(codes.Unauthenticated, "the token is missing or not accepted")
		}
		return handler(ctx, req)
	}
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
