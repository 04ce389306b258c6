package endpoints

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestWrittenWholeAndForItsOwner(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), "make run") {
		t.Fatalf("nothing there: %v", err)
	}
	want := &File{Version: 1, State: "ready", PID: 7, Services: map[string]Service{"ingest": {PID: 7, GRPC: "127.0.0.1:1"}}, Control: Control{"127.0.0.1:1", "t"}, Entities: []Entity{{"acme-ie", "EUR"}}, Sandboxes: map[string]Sandbox{"hubspot": {Connection: "crm", ReaderToken: "r"}}}
	for range 2 {
		if err := Write(dir, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Read(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	info, err := os.Stat(filepath.Join(dir, Name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("%d files in the folder", len(left))
	}
	if err := Remove(dir); err != nil || Remove(dir) != nil {
		t.Errorf("removed: %v", err)
	}
}
