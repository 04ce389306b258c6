package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/cmd/tieout/world"
	"tieout.dev/services/internal/lab/verify"
)

// A folder that 'tieout dev' has left behind is verified whole; an invoice that
// somebody copies in the books, mark and all, is named.
func TestAFolderThatWasLeftBehindIsVerified(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the whole process is not started")
	}
	bin, dir := filepath.Join(t.TempDir(), "tieout"), t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "../tieout").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if out, err := exec.Command(bin, "dev", "--once", "--deals", "6", "--dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("dev: %v\n%s", err, out)
	}
	results, err := verifyFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := showResults(&text, "table", results); err != nil {
		t.Fatalf("%v\n%s", err, &text)
	}
	for _, invariant := range []string{"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8"} {
		if !strings.Contains(text.String(), invariant+"  ok") {
			t.Errorf("%s is not in\n%s", invariant, &text)
		}
	}
	copyAnInvoice(t, dir)
	if results, err = verifyFolder(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	text.Reset()
	if err := showResults(&text, "json", results); !errors.Is(err, errViolated) {
		t.Errorf("a copy is answered with %v", err)
	}
	var answer struct{ Items []verify.Result }
	if err := json.Unmarshal(text.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(answer.Items, func(r verify.Result) bool {
		return r.Invariant == "I1" && len(r.Violations) == 1 && strings.HasPrefix(r.Violations[0], "double: mark TO-")
	}) {
		t.Errorf("the copy is not named: %s", &text)
	}
}

// copyAnInvoice is what a person does with "Make a copy" in the books.
func copyAnInvoice(t *testing.T, dir string) {
	t.Helper()
	w, err := world.Open(world.Config{Dir: dir, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Listen: func(string) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	sb := w.Sandboxes["quickbooks"]
	var found struct{ Invoice map[string]any }
	quickbooks(t, sb, http.MethodGet, "invoice/1", nil, &found)
	for _, computed := range []string{"Id", "SyncToken", "DocNumber", "MetaData", "domain", "sparse"} {
		delete(found.Invoice, computed)
	}
	lines, _ := found.Invoice["Line"].([]any)
	found.Invoice["Line"] = slices.DeleteFunc(lines, func(l any) bool { return l.(map[string]any)["DetailType"] == "SubTotalLineDetail" })
	body, err := json.Marshal(found.Invoice)
	if err != nil {
		t.Fatal(err)
	}
	quickbooks(t, sb, http.MethodPost, "invoice", body, nil)
}

func quickbooks(t *testing.T, sb endpoints.Sandbox, method, path string, body []byte, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, sb.BaseURL+"/v3/company/"+sb.RealmID+"/"+path+"?minorversion=75", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+sb.ReaderToken)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, answer, err)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFolderOfNobodyIsRefused(t *testing.T) {
	if _, err := verifyFolder(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "no state folder") {
		t.Errorf("an empty folder: %v", err)
	}
}
