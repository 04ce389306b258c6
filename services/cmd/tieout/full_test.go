package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts one for the test.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=48m", "tieout-test", dir).CombinedOutput(); err != nil {
		t.Skipf("a small disk is needed, which root can mount: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	})
	return dir
}

// fill writes until nothing more fits, and returns how to make room again.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err = f.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// pushed sends a record of some size to the HTTP API.
func (o *outside) pushed(id string) (status int, says string) {
	o.t.Helper()
	body := `{"connection":"crm","type":"company","id":"` + id + `","data":{"name":"` + strings.Repeat("n", 50000) + `"}}`
	r, err := http.NewRequest(http.MethodPost, o.file.API.BaseURL+"/v1/events", strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+o.file.API.Key)
	r.Header.Set("Content-Type", "application/json")
	return o.answer(r)
}

func (o *outside) readyz() (status int, says string) {
	o.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+o.file.Services["ingest"].Metrics+"/readyz", nil)
	if err != nil {
		o.t.Fatal(err)
	}
	return o.answer(r)
}

func (o *outside) answer(r *http.Request) (status int, says string) {
	o.t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// A full disk is said wherever somebody looks, and what was refused is taken
// once there is room again.
func TestAFullDiskIsSaidEverywhere(t *testing.T) {
	t.Parallel()
	o := startIn(t, smallDisk(t))
	d := newDeals(o, 2)
	d.win("before")
	o.settle(1)
	free := fill(t, o.dir)
	o.until("the word that the disk is full", func() bool { status, says := o.readyz(); return status == 503 && strings.Contains(says, "is full") })
	if status, says := o.pushed("full"); status != 503 || !strings.Contains(says, "disk of the database is full") || strings.Contains(says, o.dir) {
		t.Errorf("a push is answered %d: %s", status, says)
	}
	var v struct {
		Settled  bool
		Services []struct{ Name, State, Reason string }
	}
	if err := json.Unmarshal([]byte(o.run("status", "-o", "json")), &v); err != nil {
		t.Fatal(err)
	}
	for _, s := range v.Services {
		if s.State != "degraded" || !strings.Contains(s.Reason, o.dir) {
			t.Errorf("%s is %s: %q", s.Name, s.State, s.Reason)
		}
	}
	if v.Settled || len(v.Services) != 5 {
		t.Errorf("settled %v with %d services", v.Settled, len(v.Services))
	}
	if said, code := o.try("doctor"); code != 5 || !strings.Contains(said, "the disk of "+o.dir+" is full") {
		t.Errorf("the doctor says (exit %d) %s", code, said)
	}
	free()
	o.until("readiness", func() bool { status, _ := o.readyz(); return status == 200 })
	if said := o.run("status"); strings.Contains(said, "degraded") {
		t.Errorf("the status is %s", said)
	}
	d.win("after")
	o.settle(2)
	d.check("after the disk was full")
	o.kill() // so that what it printed may be read
	for what, times := range map[string]int{"is full": 1, "database: it works again": 1} {
		if n := strings.Count(o.output.String(), what); n != times {
			t.Errorf("%q is said %d times:\n%s", what, n, o.output)
		}
	}
}
