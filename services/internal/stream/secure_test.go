package stream_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/stream"
	"tieout.dev/services/internal/trust"
	"tieout.dev/services/internal/trust/trusttest"
)

// serving is how a broker of the test speaks TLS.
func serving(t *testing.T, ca *trusttest.Authority, mutual bool, kinds ...trusttest.Kind) kfake.Opt {
	t.Helper()
	own, err := tls.LoadX509KeyPair(ca.Issue("broker", kinds...))
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{own}}
	if mutual {
		b, err := os.ReadFile(ca.CA())
		if err != nil {
			t.Fatal(err)
		}
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		c.ClientCAs.AppendCertsFromPEM(b)
	}
	return kfake.TLS(c)
}

func password(t *testing.T, text string) trust.Secret {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return trust.Secret(path)
}

// Whatever a cluster refuses, or we refuse of it, is told apart and names who acts.
func TestRefusalsAreExplained(t *testing.T) {
	drill.Injected(t, 4, 101)
	dir := t.TempDir()
	ca, other := trusttest.New(t, filepath.Join(dir, "ca")), trusttest.New(t, filepath.Join(dir, "other"))
	cert, key := ca.Issue("tieout", trusttest.Client())
	endedCert, endedKey := ca.Issue("ended", trusttest.Client(), trusttest.Ended())
	strange, strangeKey := other.Issue("tieout", trusttest.Client())
	tlsOf := func(ca, cert, key string) trust.TLS {
		return trust.TLS{Enabled: true, CA: ca, Cert: cert, Key: key}
	}
	login := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "tieout", "right"), kfake.Superuser("SCRAM-SHA-256", "tieout", "right")}
	// The fake broker waits for the rest of what it takes for a long request; a
	// real one closes.
	closing := []kfake.Opt{kfake.ListenFn(func(network, address string) (net.Listener, error) {
		l, err := net.Listen(network, address)
		return closer{l}, err
	})}
	for _, c := range []struct {
		name   string
		broker []kfake.Opt
		cfg    stream.Config
		want   string // nothing: it works
	}{
		{"plain", nil, stream.Config{}, ""},
		{"TLS", []kfake.Opt{serving(t, ca, false)}, stream.Config{TLS: tlsOf(ca.CA(), "", "")}, ""},
		{"TLS, both ways", []kfake.Opt{serving(t, ca, true)}, stream.Config{TLS: tlsOf(ca.CA(), cert, key)}, ""},
		{"TLS and a login", append(login, serving(t, ca, false)), stream.Config{TLS: tlsOf(ca.CA(), "", ""), Login: stream.Login{User: "tieout", Password: password(t, "right")}}, ""},
		{"a login with the shorter hash", login, stream.Config{Login: stream.Login{Mechanism: stream.SCRAM256, User: "tieout", Password: password(t, "right")}}, ""},
		{"another authority", []kfake.Opt{serving(t, ca, false)}, stream.Config{TLS: tlsOf(other.CA(), "", "")}, "operator: put that authority's certificate into kafka.tls.ca_file"},
		{"the broker's certificate ended", []kfake.Opt{serving(t, ca, false, trusttest.Ended())}, stream.Config{TLS: tlsOf(ca.CA(), "", "")}, "whoever runs the part: renew it"},
		{"another name", []kfake.Opt{serving(t, ca, false, trusttest.Client())}, stream.Config{TLS: tlsOf(ca.CA(), "", "")}, "operator: name the part as its certificate does"},
		{"no certificate of ours", []kfake.Opt{serving(t, ca, true)}, stream.Config{TLS: tlsOf(ca.CA(), "", "")}, "operator: set kafka.tls.cert_file"},
		{"ours ended", []kfake.Opt{serving(t, ca, true)}, stream.Config{TLS: tlsOf(ca.CA(), endedCert, endedKey)}, "operator: renew it; the new file is used at once"},
		{"ours is from another authority", []kfake.Opt{serving(t, ca, true)}, stream.Config{TLS: tlsOf(ca.CA(), strange, strangeKey)}, "issued by an authority that the part trusts"},
		{"plain to TLS", []kfake.Opt{serving(t, ca, false)}, stream.Config{}, "operator: set kafka.tls.enabled to true"},
		{"TLS to plain", closing, stream.Config{TLS: tlsOf(ca.CA(), "", "")}, "operator: name the port that does, or set kafka.tls.enabled to false"},
		{"the wrong password", login, stream.Config{Login: stream.Login{User: "tieout", Password: password(t, "wrong")}}, `the user "tieout" or the password`},
		{"a mechanism that is not offered", append(login, kfake.Superuser("PLAIN", "x", "x")), stream.Config{Login: stream.Login{Mechanism: "SCRAM-SHA-1", User: "tieout", Password: password(t, "right")}}, "operator: set kafka.sasl.mechanism"},
		{"a file that is gone", nil, stream.Config{TLS: tlsOf(filepath.Join(dir, "none.pem"), "", "")}, "operator: put a readable one where kafka.tls.ca_file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Brokers, c.cfg.ClientID = cluster(t, c.broker...).ListenAddrs(), "test"
			cl, err := stream.NewClient(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			from := time.Now()
			err = cl.EnsureTopics(ctx, []stream.Topic{{Name: "t", Partitions: 1}})
			if c.want == "" {
				if err == nil {
					err = cl.Produce(ctx, records("t", 0, 3))
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
			var refused *trust.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant a refusal with %q", err, c.want)
			}
			if took := time.Since(from); took > 10*time.Second {
				t.Errorf("said after %s", took)
			}
			if strings.Contains(err.Error(), "wrong") && c.name == "the wrong password" {
				t.Error("the password is shown")
			}
		})
	}
}

// closer accepts connections and closes each.
type closer struct{ net.Listener }

func (l closer) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		_ = conn.Close()
	}
}

// Retention that is not as declared is refused by name, on a topic that exists.
func TestTopicsOfAnotherRetentionAreRefused(t *testing.T) {
	cl := client(t, cluster(t))
	topic := func(retention string) []stream.Topic {
		return []stream.Topic{{Name: "t", Partitions: 1, Config: map[string]string{"cleanup.policy": "delete", "retention.ms": retention}}}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 2 {
		if err := cl.EnsureTopics(ctx, topic("1000")); err != nil {
			t.Fatal(err)
		}
	}
	var differs *stream.DiffersError
	if err := cl.EnsureTopics(ctx, topic("2000")); !errors.As(err, &differs) || differs.What != "retention.ms" || differs.Is != "1000" || differs.Want != "2000" {
		t.Errorf("%v", err)
	}
}

// A plan makes what is missing and alters what may be altered; what would lose
// records or scatter keys is named and left.
func TestTopicsArePlannedAndApplied(t *testing.T) {
	cl := client(t, cluster(t))
	topic := func(name string, partitions int, retention string) stream.Topic {
		return stream.Topic{Name: name, Partitions: partitions, Config: map[string]string{"cleanup.policy": "delete", "retention.ms": retention}}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := cl.EnsureTopics(ctx, []stream.Topic{topic("longer", 2, "1000"), topic("shorter", 2, "-1"), topic("wider", 2, "1000"), topic("same", 2, "1000")}); err != nil {
		t.Fatal(err)
	}
	want := []stream.Topic{topic("wider", 3, "1000"), topic("longer", 2, "2000"), topic("shorter", 2, "5000"), topic("same", 2, "1000"), topic("new", 2, "1000")}
	plan := func() (out string) {
		changes, err := cl.PlanTopics(ctx, want)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range changes {
			out += x.Action + " " + x.Topic + " " + x.Is + ">" + x.Want + "; "
		}
		if err := cl.ApplyTopics(ctx, want, changes); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := plan(); got != "refuse wider 2>3; alter longer 1000>2000; refuse shorter -1>5000; make new >2 partitions; " {
		t.Errorf("the plan is %s", got)
	}
	if got := plan(); got != "refuse wider 2>3; refuse shorter -1>5000; " {
		t.Errorf("once it was applied the plan is %s", got)
	}
}
