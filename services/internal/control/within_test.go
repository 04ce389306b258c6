package control

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/registry"
)

// A call that names a tenant reaches nothing of another's, whatever it names it
// by, and a tenant that there is none of is told so by every call.
func TestACallIsHeldToItsTenant(t *testing.T) {
	reg := &registry.Registry{
		Connections: []registry.Connection{{ID: "crm", Tenant: "one", Account: "crm/1"}, {ID: "books", Tenant: "two", Account: "books/2"}},
		Entities:    []registry.Entity{{ID: "ie", Tenant: "one"}, {ID: "us", Tenant: "two"}},
	}
	ask := func(tenant, method string, req proto.Message) codes.Code {
		ctx := t.Context()
		if tenant != "" {
			ctx = metadata.NewIncomingContext(ctx, metadata.Pairs(tenantHeader, tenant))
		}
		_, err := within(reg)(ctx, req, &grpc.UnaryServerInfo{FullMethod: "/control.v1.X/" + method}, func(context.Context, any) (any, error) { return nil, nil })
		return status.Code(err)
	}
	for _, c := range []struct {
		method    string
		req       proto.Message
		one, none codes.Code
	}{
		{"ActOnConnection", &controlv1.ActOnConnectionRequest{Connection: "crm"}, codes.OK, codes.NotFound},
		{"ActOnConnection", &controlv1.ActOnConnectionRequest{Connection: "books"}, codes.NotFound, codes.NotFound},
		{"ListLanes", &controlv1.ListLanesRequest{Ref: "crm/1/company/5"}, codes.OK, codes.NotFound},
		{"ListLanes", &controlv1.ListLanesRequest{Ref: "books/2/company/5"}, codes.NotFound, codes.NotFound},
		{"ResolveRef", &controlv1.ResolveRefRequest{Ref: "deal/5"}, codes.OK, codes.NotFound},
		{"ListLinks", &controlv1.ListLinksRequest{OtherRef: "books/2/invoice/5"}, codes.NotFound, codes.NotFound},
		{"Recheck", &controlv1.RecheckRequest{Ref: "crm/1/deal/1", Target: "books/2"}, codes.NotFound, codes.NotFound},
		{"Search", &controlv1.SearchRequest{Customer: "books/2/company/5"}, codes.NotFound, codes.NotFound},
		{"Reconcile", &controlv1.ReconcileRequest{Entity: "us"}, codes.NotFound, codes.NotFound},
		{"MarkRestored", &controlv1.MarkRestoredRequest{}, codes.InvalidArgument, codes.NotFound},
		{"AuditStatus", &controlv1.AuditStatusRequest{}, codes.OK, codes.NotFound},
	} {
		if got := ask("one", c.method, c.req); got != c.one {
			t.Errorf("%s %v of its tenant: %v, want %v", c.method, c.req, got, c.one)
		}
		if got := ask("nope", c.method, c.req); got != c.none {
			t.Errorf("%s %v of nobody: %v, want %v", c.method, c.req, got, c.none)
		}
		if got := ask("", c.method, c.req); got != codes.OK {
			t.Errorf("%s %v of the whole installation: %v", c.method, c.req, got)
		}
	}
}

// Fields that name an object of a tenant are known by their names: a new one of
// another name would be answered for everybody.
func TestEveryFieldThatNamesAnObjectIsLookedAt(t *testing.T) {
	known := strings.Fields("connection target account entity route ref source_ref other_ref subject customer lane " +
		"id event_id action reason actor kind state next after part type name period redirect_uri code token refused invoice op trace stream stream_prefix after_target after_lane until_lane")
	files := controlv1.File_control_v1_control_proto
	for i := range files.Messages().Len() {
		m := files.Messages().Get(i)
		if !strings.HasSuffix(string(m.Name()), "Request") {
			continue
		}
		for j := range m.Fields().Len() {
			f := m.Fields().Get(j)
			if f.Kind().String() == "string" && !f.IsList() && !f.IsMap() && !strings.Contains(" "+strings.Join(known, " ")+" ", " "+string(f.Name())+" ") {
				t.Errorf("%s of %s: say in within.go whether it names what is a tenant's, then here", f.Name(), m.Name())
			}
		}
	}
}
