package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "tieout.dev/proto/audit/v1"
	"tieout.dev/services/cmd/tieout/crm"
	"tieout.dev/services/internal/money"
)

// Exit codes are promises.
const (
	exitOK         = 0
	exitError      = 1
	exitUsage      = 2
	exitAbsent     = 3
	exitNotFound   = 4
	exitDifference = 5
	exitAgain      = 10
)

// failure is an error with its exit code, who must act (finance, crm admin,
// operator or tieout) and what is next.
type failure struct {
	code               int
	message, who, next string
	ref                string // the record that it is about
	silent             bool   // the output has said it already
}

func (f *failure) Error() string { return f.message }

func usage(format string, args ...any) error {
	return &failure{code: exitUsage, message: fmt.Sprintf(format, args...), who: "operator", next: "tieout help"}
}

// noFile: a file that was named is not there.
func noFile(err error) error {
	return &failure{code: exitNotFound, message: err.Error(), who: "operator", next: "name a file that is there"}
}

// asFailure decides the exit code, once.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	if errors.Is(err, crm.ErrNotFound) {
		return &failure{code: exitNotFound, message: err.Error(), who: "operator", next: "check the id"}
	}
	var told interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &told) {
		if strings.HasPrefix(err.Error(), "unknown command") || strings.Contains(err.Error(), "arg(s)") || strings.Contains(err.Error(), "required flag") {
			return &failure{code: exitUsage, message: err.Error(), who: "operator", next: "tieout help"}
		}
		return &failure{code: exitError, message: err.Error(), who: "operator"}
	}
	s := told.GRPCStatus() // of the answer itself: what it was wrapped in is for programs
	switch s.Code() {
	case codes.NotFound:
		return &failure{code: exitNotFound, message: s.Message(), who: "operator", next: "check the id"}
	case codes.InvalidArgument:
		return &failure{code: exitUsage, message: s.Message(), who: "operator", next: "tieout help"}
	case codes.Unavailable, codes.Unauthenticated, codes.PermissionDenied:
		return &failure{code: exitAbsent, message: "the control plane is not there or refuses this token: " + s.Message(), who: "operator", next: "make run"}
	case codes.DeadlineExceeded, codes.Aborted, codes.ResourceExhausted:
		return &failure{code: exitAgain, message: s.Message(), who: "tieout", next: "try again"}
	}
	return &failure{code: exitError, message: s.Message(), who: "operator"}
}

// report prints an error on stderr and returns its exit code.
func (a *app) report(err error) int {
	f := asFailure(err)
	f.ref = cmp.Or(f.ref, a.ref)
	if f.silent {
		return f.code
	}
	if a.output == "json" {
		b, merr := json.Marshal(map[string]string{"code": fmt.Sprint(f.code), "message": f.message, "ref": f.ref, "who": f.who, "next": f.next})
		if merr == nil {
			fmt.Fprintln(a.err, string(b))
			return f.code
		}
	}
	fmt.Fprintln(a.err, "tieout: "+f.message)
	if f.next != "" {
		fmt.Fprintln(a.err, "next: "+f.next)
	}
	return f.code
}

// print writes v as asked, or by the table function.
func (a *app) print(v any, table func(w io.Writer)) error {
	switch a.output {
	case "json":
		e := json.NewEncoder(a.out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(v)
	case "yaml":
		b, err := json.Marshal(v) // one set of names for both
		if err != nil {
			return err
		}
		var tree yaml.Node
		if err := yaml.Unmarshal(b, &tree); err != nil {
			return err
		}
		plain(&tree)
		e := yaml.NewEncoder(a.out)
		return errors.Join(e.Encode(&tree), e.Close())
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	table(w)
	return w.Flush()
}

// field writes a named value, unless there is none.
func field(w io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(w, "%s\t%s\n", name, value)
	}
}

// confirm asks a person at a terminal; a script is not asked.
func (a *app) confirm(format string, args ...any) error {
	if a.yes || !isTerminal(os.Stdin) {
		return nil
	}
	fmt.Fprintf(a.err, format+" [y/N] ", args...)
	var answer string
	if _, err := fmt.Fscanln(os.Stdin, &answer); err != nil || !strings.EqualFold(strings.TrimSpace(answer), "y") {
		return &failure{code: exitError, message: "nothing was changed", who: "operator", next: "say y, or --yes"}
	}
	return nil
}

// plain lets YAML look like YAML where it was read from JSON.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		plain(c)
	}
}

// amount is money in JSON.
type amount struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"`
}

func toAmount(m *auditv1.Money) *amount {
	if m == nil || m.GetCurrency() == "" {
		return nil
	}
	return &amount{m.GetMinor(), m.GetCurrency()}
}

func (m *amount) String() string {
	if m == nil {
		return "-"
	}
	return money.Amount{Minor: m.Minor, Currency: m.Currency}.String()
}

// instant is a time in JSON: UTC with milliseconds.
func instant(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format("2006-01-02T15:04:05.000Z")
}

func clock(s string) string {
	t, err := time.Parse("2006-01-02T15:04:05.000Z", s)
	if err != nil {
		return s
	}
	return t.Format("15:04:05.000")
}
