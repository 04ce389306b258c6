package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	controlv1 "tieout.dev/proto/control/v1"
)

// prober is a writer whose probe finds what it is told to.
type prober struct {
	vault
	kinds []*controlv1.ProbedKind
	asked []*controlv1.ProbeConnectionRequest
	finds map[string]*controlv1.ProbedKind
}

func (p *prober) ProbeConnection(_ context.Context, r *controlv1.ProbeConnectionRequest) (*controlv1.ProbeConnectionResponse, error) {
	out := &controlv1.ProbeConnectionResponse{Account: "quickbooks/1", Kinds: p.kinds}
	if r.GetDryRun() {
		return out, nil
	}
	p.asked = append(p.asked, r)
	found := p.finds[r.GetKind()]
	if found.GetVerdict() == "contradicted" {
		out.Command = "c1"
	}
	out.Kinds = []*controlv1.ProbedKind{found}
	return out, nil
}

func (p *prober) ListCommands(context.Context, *controlv1.ListCommandsRequest) (*controlv1.ListCommandsResponse, error) {
	return &controlv1.ListCommandsResponse{}, nil
}

func probed(verdict, who string) *controlv1.ProbedKind {
	return &controlv1.ProbedKind{
		Kind: "INVOICE", Claimed: "C", Measured: "C", Verdict: verdict, Requests: 40, Made: 6,
		Findings: []*controlv1.ProbeFinding{{Claim: "search_lag", Claimed: "5s", Measured: "> 7s", Verdict: verdict, Said: "it was still missing", Who: who, Next: "set search_lag to at least 14s"}},
	}
}

func TestProbeSaysWhatIsContradicted(t *testing.T) {
	p := &prober{
		kinds: []*controlv1.ProbedKind{{Kind: "INVOICE", TakesBack: true, Writes: "makes invoices"}, {Kind: "CREDIT_NOTE", Writes: "makes notes that stay"}},
		finds: map[string]*controlv1.ProbedKind{"INVOICE": probed("holds", ""), "CREDIT_NOTE": probed("stronger", "")},
	}
	server := serveWriter(t, p)
	do := func(args ...string) (int, string, string) {
		p.asked = nil
		var out, errs bytes.Buffer
		code := Main(t.Context(), append(append([]string{"connections", "probe", "books"}, args...), server...), &out, &errs)
		return code, out.String(), errs.String()
	}
	if code, _, said := do(); code != exitUsage || !strings.Contains(said, "--reason") || len(p.asked) > 0 {
		t.Errorf("exit %d: %s", code, said)
	}
	if code, out, said := do("--dry-run"); code != exitOK || !strings.Contains(out, "would write: makes invoices") || strings.Contains(out, "notes") || len(p.asked) > 0 {
		t.Errorf("exit %d: %s%s", code, out, said)
	}
	if code, out, said := do("--reason", "new"); code != exitOK || len(p.asked) != 1 || p.asked[0].GetReason() != "new" || !strings.Contains(said, "probing invoice, 1 of 1") || !strings.Contains(out, "6 made in the books with 40 requests") {
		t.Errorf("exit %d: %s%s", code, out, said)
	}
	if code, out, _ := do("--reason", "new", "--kinds", "invoice, credit_note"); code != exitOK || len(p.asked) != 2 {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, _, said := do("--reason", "new", "--kinds", "payment"); code != exitUsage || !strings.Contains(said, "invoice, credit_note") {
		t.Errorf("exit %d: %s", code, said)
	}
	p.finds["INVOICE"] = probed("contradicted", "operator")
	code, out, said := do("--reason", "new", "-o", "json")
	var v probeView
	var f struct{ Code, Message, Who, Next string }
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitDifference || v.OK || !v.Paused || len(v.Kinds) != 1 || v.Kinds[0].Findings[0].Who != "operator" {
		t.Errorf("exit %d: %s, %v", code, out, err)
	}
	if err := json.Unmarshal([]byte(said), &f); err != nil || f.Who != "operator" || !strings.Contains(f.Message, "search_lag of invoice is claimed as 5s and was measured as > 7s") || !strings.Contains(f.Message, "is paused") ||
		!strings.Contains(f.Next, "at least 14s") || !strings.Contains(f.Next, "connections resume books") {
		t.Errorf("%s, %v", said, err)
	}
	p.finds["INVOICE"] = probed("contradicted", "tieout")
	if _, _, said := do("--reason", "new"); strings.Contains(said, "resume") {
		t.Errorf("a class that is wrong is no setting: %s", said)
	}
	p.finds["INVOICE"] = probed("not_measured", "")
	if code, _, said := do("--reason", "new"); code != exitError || !strings.Contains(said, "was not measured") {
		t.Errorf("exit %d: %s", code, said)
	}
	p.kinds = []*controlv1.ProbedKind{{Kind: "MARKER", TakesBack: true}}
	if code, _, said := do("--reason", "new"); code != exitUsage || !strings.Contains(said, "--record") {
		t.Errorf("exit %d: %s", code, said)
	}
}
