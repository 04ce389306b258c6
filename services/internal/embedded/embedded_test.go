package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/stream"
)

const childDir = "TIEOUT_TEST_EMBEDDED_DIR"

// TestMain lets the test binary play the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// child produces for ever and prints the number of each acknowledged record.
func child(dir string) error {
	ctx := context.Background()
	p, err := Start(ctx, Config{Dir: dir})
	if err != nil {
		return err
	}
	c, err := stream.NewClient(stream.Config{Brokers: p.Kafka})
	if err != nil {
		return err
	}
	if err := c.EnsureTopics(ctx, topics); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := c.Produce(ctx, []stream.Record{{Topic: "t", Key: strconv.Itoa(i), Value: make([]byte, 300)}}); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

var topics = []stream.Topic{{Name: "t", Partitions: 2}}

func start(t *testing.T, dir string) *Parts {
	t.Helper()
	p, err := Start(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// length makes the topic where it is missing and returns how much is in it.
func length(t *testing.T, p *Parts) (n int64) {
	t.Helper()
	c, err := stream.NewClient(stream.Config{Brokers: p.Kafka})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.EnsureTopics(ctx, topics); err != nil {
		t.Fatal(err)
	}
	for partition := range 2 {
		_, end, err := c.Bounds(ctx, "t", partition)
		if err != nil {
			t.Fatal(err)
		}
		n += end
	}
	return n
}

// kill starts the child, waits for acknowledged records, and kills it.
func kill(t *testing.T, dir string, after int) (acknowledged int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, err := strconv.Atoi(lines.Text()); err != nil {
			t.Errorf("child: %s", lines.Text())
			break
		}
		if acknowledged++; acknowledged == int64(after) {
			_ = cmd.Process.Kill() // what it printed before it died is still read
		}
	}
	_ = cmd.Wait()
	return acknowledged
}

func TestKilledBrokerComesBackWithWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	total := int64(0)
	for range 3 {
		total += kill(t, dir, 40)
		if total == 0 {
			t.Fatal("nothing was acknowledged")
		}
	}
	p := start(t, dir)
	if got := length(t, p); got < total || p.Damaged != "" {
		t.Fatalf("%d records in the log, %d were acknowledged; damaged %q", got, total, p.Damaged)
	}
	drill.Injected(t, 3, 25)
}

func TestDamagedLogIsMovedAside(t *testing.T) {
	dir := t.TempDir()
	kill(t, dir, 5)
	if err := os.WriteFile(filepath.Join(dir, "kafka", "topics.json"), []byte("{not json"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir)
	if p.Damaged == "" || length(t, p) != 0 {
		t.Fatalf("damaged %q, want a fresh log beside the damaged one", p.Damaged)
	}
	if _, err := os.Stat(filepath.Join(p.Damaged, "topics.json")); err != nil {
		t.Fatal(err)
	}
}

func TestTornTailIsCutOff(t *testing.T) {
	dir := t.TempDir()
	total := kill(t, dir, 20)
	segments, err := filepath.Glob(filepath.Join(dir, "kafka", "*", "*", "*.dat"))
	if more, _ := filepath.Glob(filepath.Join(dir, "kafka", "*", "*.dat")); err != nil || len(segments)+len(more) == 0 {
		t.Fatalf("no segments, %v", err)
	} else {
		segments = append(segments, more...)
	}
	for _, s := range segments {
		f, err := os.OpenFile(s, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, 17)); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	p := start(t, dir)
	if got := length(t, p); got < total || p.Damaged != "" {
		t.Fatalf("%d records, %d were acknowledged; damaged %q", got, total, p.Damaged)
	}
	drill.Injected(t, int64(len(segments)), 26)
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	p := start(t, dir)
	_, err := Start(t.Context(), Config{Dir: dir})
	var used *InUseError
	if !errors.As(err, &used) || used.PID != strconv.Itoa(os.Getpid()) || !strings.Contains(err.Error(), used.PID) {
		t.Fatalf("second start: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	_ = start(t, dir)
	drill.Injected(t, 1, 58)
}

func TestPortInUseIsNoDamage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	dir := t.TempDir()
	if err := start(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	if p, err := Start(t.Context(), Config{Dir: dir, KafkaPort: l.Addr().(*net.TCPAddr).Port}); err == nil {
		t.Fatalf("started on a port in use: %v", p.Kafka)
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "kafka.damaged*")); len(aside) != 0 {
		t.Fatalf("moved %v aside", aside)
	}
}

func TestRedisForgetsByItself(t *testing.T) {
	p := start(t, t.TempDir())
	if host, _, err := net.SplitHostPort(p.Redis); err != nil || net.ParseIP(host) == nil || !net.ParseIP(host).IsLoopback() {
		t.Fatalf("address %s", p.Redis)
	}
	for _, a := range p.Kafka {
		if !strings.HasPrefix(a, "127.0.0.1:") {
			t.Fatalf("broker at %s", a)
		}
	}
	r := redis.NewClient(&redis.Options{Addr: p.Redis})
	defer func() { _ = r.Close() }()
	if err := r.Set(t.Context(), "k", "v", 30*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); ; <-tick.C {
		if err := r.Get(t.Context(), "k").Err(); errors.Is(err, redis.Nil) {
			return
		} else if err != nil || time.Now().After(end) {
			t.Fatalf("the key is still there, %v", err)
		}
	}
}
