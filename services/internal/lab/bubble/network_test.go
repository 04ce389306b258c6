package bubble

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// network is memory: a goroutine that waits for a real socket would stop the
// clock of the bubble. Addresses look like TCP's on the loopback interface.
type network struct {
	mu        sync.Mutex
	listeners map[int]*listener
	next      int
}

func newNetwork() *network { return &network{listeners: map[int]*listener{}, next: 20000} }

// port is a number that nobody has.
func (n *network) port() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next++
	return n.next
}

// host is one process on the network. Killing it cuts all its connections at
// once; what it still does afterwards reaches nobody.
type host struct {
	name    string
	network *network

	mu        sync.Mutex
	dead      bool
	conns     map[*conn]struct{}
	listeners []*listener
	trap      *trap
}

func (n *network) host(name string) *host {
	return &host{name: name, network: n, conns: map[*conn]struct{}{}}
}

var errDead = errors.New("connection reset: the process is gone")

// Listen opens an address of this host.
func (h *host) Listen(_, address string) (net.Listener, error) {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		return nil, errDead
	}
	l := &listener{host: h, at: at, incoming: make(chan net.Conn), closed: make(chan struct{})}
	h.network.mu.Lock()
	defer h.network.mu.Unlock()
	if h.network.listeners[at.Port] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: at, Err: errors.New("address in use")}
	}
	h.network.listeners[at.Port] = l
	h.listeners = append(h.listeners, l)
	return l, nil
}

// Dial connects this host to an address.
func (h *host) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	to, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, err
	}
	h.network.mu.Lock()
	l := h.network.listeners[to.Port]
	h.network.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: to, Err: errors.New("connection refused")}
	}
	from := &net.TCPAddr{IP: to.IP, Port: h.network.port()}
	near, far := net.Pipe()
	a, aerr := h.keep(near, from, to)
	b, berr := l.host.keep(far, to, from)
	if err := errors.Join(aerr, berr); err != nil {
		return nil, err
	}
	select {
	case l.incoming <- b:
		return a, nil
	case <-l.closed:
		err = errDead
	case <-ctx.Done():
		err = ctx.Err()
	}
	_ = a.Close()
	_ = b.Close()
	return nil, err
}

func (h *host) keep(c net.Conn, local, remote *net.TCPAddr) (*conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead {
		_ = c.Close()
		return nil, errDead
	}
	k := &conn{Conn: c, host: h, local: local, remote: remote}
	h.conns[k] = struct{}{}
	return k, nil
}

// kill cuts the host off for good.
func (h *host) kill() {
	h.mu.Lock()
	h.dead = true
	conns, listeners, t := h.conns, h.listeners, h.trap
	h.conns, h.listeners, h.trap = map[*conn]struct{}{}, nil, nil
	h.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close()
	}
	for c := range conns {
		_ = c.Conn.Close()
	}
	if t != nil {
		t.open()
	}
}

// set arms a trap for what this host sends.
func (h *host) set(t *trap) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trap = t
}

type conn struct {
	net.Conn
	host          *host
	local, remote *net.TCPAddr
	trapped       *trap // guarded by host.mu: nothing is heard any more
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// Write sends, unless a trap says that the process ends here.
func (c *conn) Write(b []byte) (int, error) {
	c.host.mu.Lock()
	t := c.host.trap
	sprung := t != nil && t.takes(c.remote.Port, b)
	if sprung && t.after {
		c.trapped = t
	}
	c.host.mu.Unlock()
	if !sprung {
		return c.Conn.Write(b)
	}
	if !t.after {
		t.spring()
		return 0, errDead
	}
	n, err := c.Conn.Write(b)
	go t.spring()
	return n, err
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.host.mu.Lock()
	t := c.trapped
	c.host.mu.Unlock()
	if t != nil { // the answer comes to a process that is no more
		<-t.opened
		return 0, errDead
	}
	return n, err
}

func (c *conn) Close() error {
	c.host.mu.Lock()
	delete(c.host.conns, c)
	c.host.mu.Unlock()
	return c.Conn.Close()
}

// trap waits for the nth write to a port that contains a text, and tells that
// the process shall end there: before the bytes leave, or after they have
// arrived and before the answer is heard.
type trap struct {
	port  int // 0: any
	text  []byte
	nth   int
	after bool

	seen   int
	sprung chan struct{}
	opened chan struct{}
	once   sync.Once
	free   sync.Once
}

func newTrap(port int, text string, nth int, after bool) *trap {
	return &trap{port: port, text: []byte(text), nth: nth, after: after, sprung: make(chan struct{}), opened: make(chan struct{})}
}

func (t *trap) takes(port int, b []byte) bool {
	if t.port != 0 && t.port != port || !bytes.Contains(b, t.text) {
		return false
	}
	t.seen++
	return t.seen == t.nth
}

// spring tells and then waits until the process is gone.
func (t *trap) spring() {
	t.once.Do(func() { close(t.sprung) })
	<-t.opened
}

func (t *trap) open() { t.free.Do(func() { close(t.opened) }) }

// wait returns true once the trap was sprung.
func (t *trap) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-t.sprung:
		return true
	case <-timer.C:
		return false
	}
}

type listener struct {
	host     *host
	at       *net.TCPAddr
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.host.network.mu.Lock()
		defer l.host.network.mu.Unlock()
		if l.host.network.listeners[l.at.Port] == l {
			delete(l.host.network.listeners, l.at.Port)
		}
	})
	return nil
}

func (l *listener) Addr() net.Addr { return l.at }
