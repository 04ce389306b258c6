package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"tieout.dev/services/internal/meter"
	"tieout.dev/services/internal/trust"
)

const (
	dialTimeout = 2 * time.Second
	// metadataTTL bounds how long a moved leader goes unnoticed: with the
	// library's 6 s a broker's death pauses a partition for 8 s, with this for 4.
	metadataTTL = 500 * time.Millisecond
	// bootstrap is a name that the dialer maps to a random broker: kafka-go
	// takes the first that accepts a connection, which may be one that hangs.
	bootstrap = "bootstrap.invalid:9092"
)

// Dial opens a connection; TLS and a login follow on it, where they are wanted.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Config says how to reach the cluster.
type Config struct {
	Brokers  []string
	ClientID string
	// GroupInstance names this process among its replicas, the same each time it is
	// started: what it left in its groups when it was killed is put out when it comes
	// back. Empty: nothing is.
	GroupInstance string
	Dial          Dial // nil: plain TCP
	TLS           trust.TLS
	Login         Login
	Logger        *slog.Logger // nil: slog.Default
	Tracer        trace.Tracer // nil: no spans
	Meter         *meter.Set   // nil: nothing is measured
	// Rest is the least time between two signs of life, long polls and looks at
	// the cluster's layout; 0 leaves each its own. Records end a long poll as
	// ever, but a dead member of a group is noticed later. For virtual time.
	Rest time.Duration
	// MetadataTTL is how often the layout of the cluster is read; 0 is 500 ms.
	// Virtual time passes faster with a longer one.
	MetadataTTL time.Duration
}

// Client is a process's one connection pool to the cluster.
type Client struct {
	brokers   []string
	id        string
	instance  string
	dial      Dial
	tls       trust.TLS
	login     Login
	log       *slog.Logger
	tracer    trace.Tracer
	meter     *meter.Set
	rest      time.Duration
	transport *kafka.Transport
	kafka     *kafka.Client

	mu    sync.Mutex
	lanes map[TopicPartition]chan struct{} // one produce in flight for each partition
}

// NewClient makes a client; it connects when it is first used.
func NewClient(cfg Config) (*Client, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("a Kafka client needs at least one broker")
	}
	c := &Client{brokers: cfg.Brokers, id: cfg.ClientID, instance: cfg.GroupInstance, dial: cfg.Dial, tls: cfg.TLS, login: cfg.Login, log: cfg.Logger, tracer: cfg.Tracer, meter: cfg.Meter, rest: cfg.Rest, lanes: map[TopicPartition]chan struct{}{}}
	if c.dial == nil {
		c.dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	c.dial = c.secured(c.dial)
	if c.log == nil {
		c.log = slog.Default()
	}
	if c.tracer == nil {
		c.tracer = noop.NewTracerProvider().Tracer("")
	}
	if cfg.MetadataTTL <= 0 {
		cfg.MetadataTTL = metadataTTL
	}
	c.transport = &kafka.Transport{Dial: c.dial, DialTimeout: dialTimeout, MetadataTTL: max(cfg.MetadataTTL, cfg.Rest), ClientID: cfg.ClientID}
	c.kafka = &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: c.transport}
	return c, nil
}

// Close closes the connections. Calls in flight end with their deadlines.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// groupDialer is what the consumer group dials with.
func (c *Client) groupDialer() *kafka.Dialer {
	return &kafka.Dialer{ClientID: c.memberID(), Timeout: dialTimeout, DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != bootstrap {
			return c.dial(ctx, network, address)
		}
		conn, _, err := c.dialAny(ctx)
		return conn, err
	}}
}

// dialAny connects to the first of the brokers, in random order, that accepts,
// and says which that is.
func (c *Client) dialAny(ctx context.Context) (conn net.Conn, address string, err error) {
	var errs []error
	for _, i := range rand.Perm(len(c.brokers)) {
		conn, err := c.dial(ctx, "tcp", c.brokers[i])
		if err == nil {
			return conn, c.brokers[i], nil
		}
		errs = append(errs, err)
	}
	return nil, "", fmt.Errorf("reach a broker: %w", errors.Join(errs...))
}

// backoff doubles from first to last.
type backoff struct{ first, last, now time.Duration }

func (b *backoff) next() time.Duration {
	b.now = min(max(2*b.now, b.first), b.last)
	return b.now
}

func (b *backoff) reset() { b.now = 0 }
