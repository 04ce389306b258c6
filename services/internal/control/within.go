package control

import (
	"context"
	"path"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/registry"
)

// Within has every call that names a tenant answered for what that tenant has,
// lists, single objects and actions alike. What a request names by connection,
// account, entity, route or ref is looked at here, for all services; what it
// names by an id of its own is the service's to look at.
func (s *Server) Within(r *registry.Registry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.registry = r
}

// ofAll are calls about a whole service: no tenant can ask for them.
var ofAll = []string{"MarkRestored", "TestNotification"}

// within checks one call.
func within(r *registry.Registry) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		tenant := tenantOf(ctx)
		if tenant == "" {
			return next(ctx, req)
		}
		scope, err := Scope(ctx, r)
		if err != nil {
			return nil, err
		}
		if slices.Contains(ofAll, path.Base(info.FullMethod)) {
			return nil, status.Errorf(codes.InvalidArgument, "this is about the whole installation, not about tenant %s alone: ask for it without a tenant", tenant)
		}
		if m, ok := req.(proto.Message); ok {
			if what, is := foreign(m, scope); is {
				return nil, status.Errorf(codes.NotFound, "tenant %s has no %s", tenant, what)
			}
		}
		return next(ctx, req)
	}
}

// foreign looks for what a request names and the tenant does not have.
func foreign(m proto.Message, scope registry.Scope) (what string, is bool) {
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Kind() != protoreflect.StringKind || f.IsList() || f.IsMap() {
			return true
		}
		name := string(f.Name())
		what, is = name+" "+v.String(), !has(scope, name, v.String())
		return !is
	})
	return what, is
}

// has reports whether the value of a field is the tenant's; a field that names
// nothing of any tenant is everybody's.
func has(scope registry.Scope, field, value string) bool {
	switch field {
	case "connection":
		return slices.Contains(scope.Connections, value)
	case "target", "account":
		return slices.Contains(scope.Accounts, value)
	case "entity":
		return slices.Contains(scope.Entities, value)
	case "route":
		return slices.Contains(scope.Routes, value)
	case "ref", "source_ref", "other_ref", "subject", "customer", "lane":
		ref, err := event.ParseRef(value)
		return err != nil || slices.Contains(scope.Accounts, ref.AccountRef()) // a short one is completed within the tenant
	}
	return true
}

func tenantOf(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	return strings.Join(md.Get(tenantHeader), " ")
}
