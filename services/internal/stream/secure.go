package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"tieout.dev/services/internal/trust"
)

// The mechanisms of a login.
const (
	SCRAM256 = "SCRAM-SHA-256"
	SCRAM512 = "SCRAM-SHA-512"
)

// Login is who we are to the cluster; without a user nobody logs in.
type Login struct {
	Mechanism string // "" is SCRAM-SHA-512
	User      string
	Password  trust.Secret
}

// keys is what the keys of the cluster begin with in the configuration.
const keys = "kafka"

// secured dials, and does what a cluster asks for before it takes requests: TLS,
// then a login. It is done here and not by the library because three things dial,
// the pool, the group and the question for a topic's id, and because what is
// refused shall be said in words.
func (c *Client) secured(dial Dial) Dial {
	if !c.tls.Enabled && c.login.User == "" {
		return dial
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if c.tls.Enabled {
			if conn, err = c.tls.Shake(ctx, conn, address); err != nil {
				return nil, c.tls.Explain(keys, address, err)
			}
		}
		if err := c.logIn(ctx, conn, address); err != nil {
			_ = conn.Close()
			return nil, c.tls.Explain(keys, address, err)
		}
		return conn, nil
	}
}

// logIn tells the broker who we are, as KIP-152 says, by a mechanism in which
// both sides prove that they know the password.
func (c *Client) logIn(ctx context.Context, conn net.Conn, address string) error {
	if c.login.User == "" {
		return nil
	}
	asked := kmsg.NewPtrSASLHandshakeRequest()
	asked.Version, asked.Mechanism = 1, c.login.mechanism()
	offered := kmsg.NewPtrSASLHandshakeResponse()
	if err := c.exchange(ctx, conn, asked, offered); err != nil {
		return err
	}
	if offered.ErrorCode != 0 {
		return &trust.RefusedError{At: address, Why: fmt.Sprintf("it does not take logins by %s, but by %v", asked.Mechanism, offered.SupportedMechanisms), Who: trust.Operator,
			Next: "set kafka.sasl.mechanism to one that it takes, or name a port that takes this one", Err: kafka.Error(offered.ErrorCode)}
	}
	session, message, err := c.scram().Authenticate(ctx, address)
	for done := false; err == nil && !done; {
		said := kmsg.NewPtrSASLAuthenticateRequest()
		said.Version, said.SASLAuthBytes = 1, message
		heard := kmsg.NewPtrSASLAuthenticateResponse()
		if err = c.exchange(ctx, conn, said, heard); errors.Is(err, io.EOF) { // some close in place of an answer
			return trust.Denied("kafka.sasl", address, c.login.User, err)
		}
		if err != nil {
			return err
		}
		if heard.ErrorCode != 0 {
			return trust.Denied("kafka.sasl", address, c.login.User, kafka.Error(heard.ErrorCode))
		}
		done, message, err = session.Challenge(heard.SASLAuthBytes)
	}
	if err != nil {
		return fmt.Errorf("log in by %s: %w", asked.Mechanism, err)
	}
	return nil
}

func (l Login) mechanism() string {
	if l.Mechanism == "" {
		return SCRAM512
	}
	return l.Mechanism
}

func (c *Client) scram() sasl.Mechanism {
	who := func(context.Context) (scram.Auth, error) {
		password, err := c.login.Password.Read()
		return scram.Auth{User: c.login.User, Pass: password}, err
	}
	if c.login.mechanism() == SCRAM256 {
		return scram.Sha256(who)
	}
	return scram.Sha512(who)
}

// probe asks a broker for what it speaks, which tells whether it is one and
// takes our requests: TLS 1.3 refuses a certificate only after the handshake.
func (c *Client) probe(ctx context.Context, conn net.Conn, address string) error {
	asked, heard := kmsg.NewPtrApiVersionsRequest(), kmsg.NewPtrApiVersionsResponse()
	if err := c.exchange(ctx, conn, asked, heard); err != nil {
		return c.tls.Explain(keys, address, err)
	}
	return nil
}

// exchange sends a request and reads its answer, on a connection that nobody
// else uses.
func (c *Client) exchange(ctx context.Context, conn net.Conn, asked kmsg.Request, heard kmsg.Response) error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if stop() {
			_ = conn.SetDeadline(time.Time{})
		}
	}()
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.id)).AppendRequest(nil, asked, 1)); err != nil {
		return err
	}
	header := 4 // correlation id
	if heard.SetVersion(asked.GetVersion()); heard.IsFlexible() && heard.Key() != int16(kmsg.ApiVersions) {
		header++ // number of tagged fields (one byte 0)
	}
	body, err := readAnswer(conn, header)
	if err != nil {
		return err
	}
	return heard.ReadFrom(body)
}

// maxAnswer bounds what is read as an answer; larger is something else.
const maxAnswer = 16 << 20

// readAnswer reads one answer, whose length comes first, and returns what
// follows its header.
func readAnswer(r io.Reader, header int) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if int(n) < header || n > maxAnswer {
		return nil, trust.ErrNotProtocol
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(r, answer); err != nil {
		return nil, err
	}
	return answer[header:], nil
}

// Reach tells whether any of the brokers takes our requests. A refusal, which no
// waiting mends, is returned in place of what the others said.
func (c *Client) Reach(ctx context.Context) error {
	conn, address, err := c.dialAny(ctx)
	if err == nil {
		defer func() { _ = conn.Close() }()
		err = c.probe(ctx, conn, address)
	}
	var refused *trust.RefusedError
	if errors.As(err, &refused) {
		return refused
	}
	return err
}
