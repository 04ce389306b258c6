// Package console shows a person what the control plane knows: does it tie
// out, what needs me, what became of this record. It is a client of the control
// plane alone, changes nothing, and loads nothing from anywhere else.
package console

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
)

//go:embed templates/*.html static/*
var files embed.FS

// patience is how long the control plane may take for one page.
const patience = 20 * time.Second

// Console serves the pages.
type Console struct {
	ingest     controlv1.IngestServiceClient
	transform  controlv1.TransformServiceClient
	writer     controlv1.WriterServiceClient
	reconciler controlv1.ReconcilerServiceClient
	audit      controlv1.AuditServiceClient
	entities   []Entity
	tenants    []string
	pages      map[string]map[string]*template.Template // by tenant, "" for all, and name
	log        *slog.Logger
	now        func() time.Time
}

// Entity is a fiscal entity of the installation and whose it is.
type Entity struct{ ID, Tenant string }

// New makes the console over a connection to the control plane; entities are
// the fiscal entities that Today shows.
func New(conn *grpc.ClientConn, entities []Entity, log *slog.Logger, now func() time.Time) (*Console, error) {
	c := &Console{
		ingest: controlv1.NewIngestServiceClient(conn), transform: controlv1.NewTransformServiceClient(conn), writer: controlv1.NewWriterServiceClient(conn),
		reconciler: controlv1.NewReconcilerServiceClient(conn), audit: controlv1.NewAuditServiceClient(conn),
		entities: entities, tenants: tenantsOf(entities), pages: map[string]map[string]*template.Template{}, log: log, now: now,
	}
	for _, tenant := range append(c.tenants, "") {
		pages, err := c.parse(tenant)
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		c.pages[tenant] = pages
	}
	return c, nil
}

// parse reads the pages; every link of theirs stays with the tenant.
func (c *Console) parse(tenant string) (map[string]*template.Template, error) {
	out := map[string]*template.Template{}
	for _, name := range []string{"today", "record", "exceptions", "exception", "problem"} {
		t, err := template.New("layout.html").Funcs(template.FuncMap{
			"money": money, "at": at, "ago": c.ago, "tenant": func() string { return tenant },
			"link": func(id string) string { return within(tenant, recordLink(id)) },
			"to":   func(path string, query ...string) string { return within(tenant, path, query...) },
		}).ParseFS(files, "templates/layout.html", "templates/"+name+".html")
		if err != nil {
			return nil, err
		}
		out[name] = t
	}
	return out, nil
}

// Handler serves the console. Nothing but GET and HEAD is answered.
func (c *Console) Handler() (http.Handler, error) {
	static, err := fs.Sub(files, "static")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(static)))
	mux.HandleFunc("GET /{$}", c.page("today", c.today))
	mux.HandleFunc("GET /record", c.search)
	mux.HandleFunc("GET /record/{id...}", c.page("record", c.record))
	mux.HandleFunc("GET /exceptions", c.page("exceptions", c.exceptions))
	mux.HandleFunc("GET /exceptions/{id}", c.page("exception", c.exception))
	return guard(mux), nil
}

// guard sets what a browser must know before it shows a page.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if !local(r.Host) {
			http.Error(w, "the console answers on this machine only", http.StatusForbidden)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the console shows and changes nothing; use the command line to act", http.StatusMethodNotAllowed)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// local: a page of another site that had its name point here is turned away.
func local(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// search leads from the search box to the record's page.
func (c *Console) search(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	path := recordLink(id)
	if id == "" {
		path = "/"
	}
	http.Redirect(w, r, within(r.URL.Query().Get("tenant"), path), http.StatusSeeOther)
}

// view is what every page has.
type view struct {
	Tenants []string // to choose from, where there are several
	Title   string
	Section string
	Search  string
	Refresh string // address that the main part is refreshed from, "" for a page that stands still
	Body    any
}

// page renders what load finds, or says why it cannot and what to do.
func (c *Console) page(name string, load func(context.Context, *http.Request) (*view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		ctx, tenant, err := c.scope(ctx, r)
		var v *view
		if err == nil {
			v, err = load(ctx, r)
		}
		code, template := http.StatusOK, name
		if err != nil {
			c.log.WarnContext(ctx, "a page could not be shown", "page", name, "error", err)
			code, template = codeOf(err), "problem"
			v = &view{Title: "Not shown", Search: r.PathValue("id"), Body: problemOf(err)}
		}
		if len(c.tenants) > 1 {
			v.Tenants = c.tenants
		}
		var b bytes.Buffer
		if err := c.pages[tenant][template].Execute(&b, v); err != nil {
			c.log.ErrorContext(ctx, "a page does not render", "page", template, "error", err)
			http.Error(w, "the page does not render; look at the log", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(code)
		_, _ = w.Write(b.Bytes()) // the browser is gone; nobody is left to be told
	}
}

// problem is an error that says what to do.
type problem struct{ What, Next string }

func codeOf(err error) int {
	switch status.Code(err) {
	case codes.NotFound:
		return http.StatusNotFound
	case codes.InvalidArgument:
		return http.StatusBadRequest
	case codes.Unavailable, codes.DeadlineExceeded:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func problemOf(err error) problem {
	s := status.Convert(err)
	switch s.Code() {
	case codes.NotFound:
		if strings.HasPrefix(s.Message(), noTenant) {
			return problem{s.Message(), "Correct the address, or choose a tenant above."}
		}
		return problem{s.Message(), "Check the id. A source ref, an invoice number, a customer, an op, an event or a trace will do."}
	case codes.Unavailable, codes.DeadlineExceeded:
		return problem{"A service does not answer: " + s.Message(), "Nothing is lost. Try again in a moment; if it stays, ask the operator to run “tieout doctor”."}
	}
	return problem{s.Message(), "Try again; if it stays, ask the operator to run “tieout doctor”."}
}
