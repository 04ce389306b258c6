package parts

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// Redis is a cache that forgets everything when it ends.
type Redis struct {
	Address string

	secured      *Secure
	dir, program string
	port         int
	proc         *process
}

func startRedis(ctx context.Context, cfg Config) (*Redis, error) {
	program, err := program(ctx, cfg, "Redis", "redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	port, err := Ports(ctx, cfg.Dir, "redis", 1)
	if err != nil {
		return nil, err
	}
	r := &Redis{secured: cfg.Secure, Address: at(port[0]), dir: cfg.Dir, program: program, port: port[0]}
	return r, r.Start(ctx)
}

// Start starts it again after Stop.
func (r *Redis) Start(ctx context.Context) (err error) {
	args := []string{"--port", fmt.Sprint(r.port)}
	if r.secured != nil {
		args = r.secured.redis(r.port)
	}
	r.proc, err = launch(r.dir, "redis", nil, r.program, append(args, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no")...)
	if err != nil {
		return err
	}
	return r.proc.await(ctx, func(ctx context.Context) bool { _, err := r.ask(ctx, "PING"); return err == nil })
}

// Stop ends it; what it knew is gone.
func (r *Redis) Stop() error { return r.proc.stop(2 * time.Second) }

// Flush makes it forget everything.
func (r *Redis) Flush(ctx context.Context) error {
	_, err := r.ask(ctx, "FLUSHALL")
	return err
}

// ask sends one command, inline, and reads the first line of the answer.
func (r *Redis) ask(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	dial := func() (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", r.Address) }
	commands := []string{command}
	if r.secured != nil {
		dial = func() (net.Conn, error) { return r.secured.dial(ctx, r.Address) }
		commands = []string{"AUTH " + r.secured.User + " " + r.secured.Password, command}
	}
	c, err := dial()
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	line, answers := "", bufio.NewReader(c)
	for _, command := range commands {
		if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
			return "", err
		}
		line, err = answers.ReadString('\n')
		if err == nil && !strings.HasPrefix(line, "+") {
			err = fmt.Errorf("redis answers %q", line)
		}
		if err != nil {
			return line, err
		}
	}
	return line, nil
}
