package hubspot

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"tieout.dev/services/internal/fault"
)

// fixture reads an answer as HubSpot sends it.
func fixture(t *testing.T, name string) answer {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "faults", name+".http"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: body}
}

func TestEveryPublishedErrorHasItsKind(t *testing.T) {
	for name, want := range map[string]struct {
		write, read fault.Kind
		code, field string
		wait        time.Duration
	}{
		"bad_property":   {fault.Unresolved, fault.Unresolved, "PROPERTY_DOESNT_EXIST", "tieout_invoice_id", 0},
		"bad_option":     {fault.Rejected, fault.Rejected, "INVALID_OPTION", "dealstage", 0},
		"invalid_json":   {fault.Rejected, fault.Rejected, "VALIDATION_ERROR", "", 0},
		"no_credentials": {fault.Unauthorized, fault.Unauthorized, "INVALID_AUTHENTICATION", "", 0},
		"expired_token":  {fault.Unauthorized, fault.Unauthorized, "EXPIRED_AUTHENTICATION", "", 0},
		"missing_scopes": {fault.Unauthorized, fault.Unauthorized, "MISSING_SCOPES", "", 0},
		"not_found":      {fault.NotFound, fault.NotFound, "OBJECT_NOT_FOUND", "", 0},
		"contact_exists": {fault.Conflict, fault.Conflict, "CONFLICT", "", 0},
		"locked":         {fault.RateLimited, fault.RateLimited, "LOCKED", "", 2 * time.Second},
		"ten_secondly":   {fault.RateLimited, fault.RateLimited, "", "", 10 * time.Second},
		"secondly":       {fault.RateLimited, fault.RateLimited, "", "", time.Second},
		"daily":          {fault.RateLimited, fault.RateLimited, "", "", time.Hour},
		"retry_after":    {fault.RateLimited, fault.RateLimited, "", "", 7 * time.Second},
		"moving":         {fault.RateLimited, fault.RateLimited, "", "", 24 * time.Hour},
		"internal_error": {fault.InDoubt, fault.Transient, "", "", 0},
		"bad_gateway":    {fault.InDoubt, fault.Transient, "", "", 0},
		"redirect":       {fault.InDoubt, fault.Internal, "", "", 0},
		"wrong_method":   {fault.Internal, fault.Internal, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			a := fixture(t, name)
			w, r := fault.As(faultOf(a, writing)), fault.As(faultOf(a, reading))
			if w.Kind != want.write || r.Kind != want.read {
				t.Errorf("write %s, read %s; want %s, %s", w.Kind, r.Kind, want.write, want.read)
			}
			if w.Code != want.code || w.Field != want.field || w.RetryAfter != want.wait || w.Text == "" || w.Status != a.status {
				t.Errorf("got %+v", w)
			}
		})
	}
	names, _ := filepath.Glob("testdata/faults/*.http")
	if len(names) != 18 {
		t.Errorf("%d fixtures, 18 are tested", len(names))
	}
}

func TestALostAnswerIsDoubtOnlyWhereBytesMayHaveLeft(t *testing.T) {
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	read := &net.OpError{Op: "read", Err: errors.New("reset")}
	for _, c := range []struct {
		err  error
		p    purpose
		want fault.Kind
	}{{dial, writing, fault.Transient}, {read, writing, fault.InDoubt}, {read, reading, fault.Transient}} {
		if got := fault.KindOf(lost(c.err, c.p)); got != c.want {
			t.Errorf("%v writing=%v: %s, want %s", c.err, c.p, got, c.want)
		}
	}
}

func TestPostsThatReadAreReads(t *testing.T) {
	for path, want := range map[string]purpose{
		"/crm/v3/objects/deals/search": reading, "/crm/v4/associations/deals/companies/batch/read": reading,
		"/crm/v3/objects/deals/batch/update": writing, "/crm/v3/properties/deals": writing,
	} {
		if got := kindOf(http.MethodPost, path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
