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
	"strings"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/fault"
)

// fixture reads an answer as HubSpot sends it.
func fixture(t testing.TB, name string) answer {
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
		"bad_property":    {fault.Unresolved, fault.Unresolved, "PROPERTY_DOESNT_EXIST", "tieout_invoice_id", 0},
		"bad_option":      {fault.Rejected, fault.Rejected, "INVALID_OPTION", "dealstage", 0},
		"invalid_json":    {fault.Rejected, fault.Rejected, "VALIDATION_ERROR", "", 0},
		"no_credentials":  {fault.Unauthorized, fault.Unauthorized, "INVALID_AUTHENTICATION", "", 0},
		"expired_token":   {fault.Unauthorized, fault.Unauthorized, "EXPIRED_AUTHENTICATION", "", 0},
		"missing_scopes":  {fault.Unauthorized, fault.Unauthorized, "MISSING_SCOPES", "", 0},
		"not_found":       {fault.NotFound, fault.NotFound, "OBJECT_NOT_FOUND", "", 0},
		"contact_exists":  {fault.Conflict, fault.Conflict, "CONFLICT", "", 0},
		"locked":          {fault.RateLimited, fault.RateLimited, "LOCKED", "", 2 * time.Second},
		"ten_secondly":    {fault.RateLimited, fault.RateLimited, "", "", 10 * time.Second},
		"secondly":        {fault.RateLimited, fault.RateLimited, "", "", time.Second},
		"daily":           {fault.RateLimited, fault.RateLimited, "", "", time.Hour},
		"retry_after":     {fault.RateLimited, fault.RateLimited, "", "", 7 * time.Second},
		"moving":          {fault.RateLimited, fault.RateLimited, "", "", 24 * time.Hour},
		"internal_error":  {fault.InDoubt, fault.Transient, "", "", 0},
		"bad_gateway":     {fault.InDoubt, fault.Transient, "", "", 0},
		"error_in_200":    {fault.InDoubt, fault.Transient, "INTERNAL_ERROR", "", 0},
		"request_timeout": {fault.InDoubt, fault.Transient, "", "", 0},
		"gateway_timeout": {fault.InDoubt, fault.Transient, "", "", 0},
		"too_large":       {fault.Rejected, fault.Rejected, "VALIDATION_ERROR", "", 0},
		"redirect":        {fault.InDoubt, fault.Internal, "", "", 0},
		"wrong_method":    {fault.Internal, fault.Internal, "", "", 0},
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
	if len(names) != 22 {
		t.Errorf("%d fixtures, 22 are tested", len(names))
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

// An error beside a batch's results has a category and no status.
func TestEveryCategoryInsideABatchHasItsKind(t *testing.T) {
	for name, c := range map[string]struct {
		error       string
		write, read fault.Kind
		code        string
	}{
		"missing":   {`"category":"OBJECT_NOT_FOUND"`, fault.NotFound, fault.NotFound, "OBJECT_NOT_FOUND"},
		"not valid": {`"category":"VALIDATION_ERROR"`, fault.Rejected, fault.Transient, "VALIDATION_ERROR"},
		"an option": {`"category":"VALIDATION_ERROR","errors":[{"code":"INVALID_OPTION","context":{"propertyName":["x"]}}]`, fault.Rejected, fault.Transient, "INVALID_OPTION"},
		"a property that is not there": {`"category":"VALIDATION_ERROR","errors":[{"code":"PROPERTY_DOESNT_EXIST","context":{"propertyName":["x"]}}]`, fault.Unresolved,
			fault.Unresolved, "PROPERTY_DOESNT_EXIST"},
		"a conflict": {`"category":"CONFLICT"`, fault.Conflict, fault.Transient, "CONFLICT"},
		"scopes":     {`"category":"MISSING_SCOPES"`, fault.Unauthorized, fault.Unauthorized, "MISSING_SCOPES"},
		"throttled":  {`"category":"RATE_LIMITS","policyName":"SECONDLY"`, fault.RateLimited, fault.RateLimited, "RATE_LIMITS"},
		"their own":  {`"category":"INTERNAL_ERROR"`, fault.InDoubt, fault.Transient, "INTERNAL_ERROR"},
		"unheard of": {`"category":"MOON_PHASE"`, fault.InDoubt, fault.Transient, "MOON_PHASE"},
		"no word":    {`"message":"x"`, fault.InDoubt, fault.Transient, ""},
	} {
		var r refusal
		if err := decode([]byte("{"+c.error+"}"), &r); err != nil {
			t.Fatal(err)
		}
		w, read := partial(r, writing), partial(r, reading)
		if w.Kind != c.write || read.Kind != c.read || w.Code != c.code || w.Kind == fault.RateLimited && w.RetryAfter != time.Second {
			t.Errorf("%s: write %+v, read %+v", name, w, read)
		}
		conn := with(t, roundTrip(func(*http.Request) *http.Response {
			return respond(http.StatusMultiStatus, strings.NewReader(`{"status":"COMPLETE","results":[{"id":"8"}],"errors":[{`+c.error+`,"context":{"ids":["7"]}}]}`))
		}))
		body := func(id string) []byte { return []byte(`{"id":"` + id + `","properties":{}}`) }
		out := conn.Target.Put(t.Context(), connector.Call{Items: []connector.Item{{Body: body("7")}, {Body: body("8")}}})
		if fault.KindOf(out[0].Err) != c.write || out[1].Err != nil {
			t.Errorf("%s in a batch: %v, and beside it %v", name, out[0].Err, out[1].Err)
		}
	}
}
