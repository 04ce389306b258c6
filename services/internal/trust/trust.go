// Package trust is what a process shows and asks for when it connects to a part:
// TLS, a certificate of its own, a password. All of it stands in files that are
// read anew for each connection, so that a renewed one is used without a
// restart; and a connection that is refused is explained in words, with who acts.
package trust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// TLS says how a part is reached. The zero value is plain TCP.
type TLS struct {
	Enabled bool
	// CA is a file with the authorities that may have issued the part's
	// certificate, PEM; "" means those of this machine.
	CA string
	// Cert and Key are files with our own certificate, PEM; "" means none.
	Cert, Key string
}

// Config reads the files as they are now, for one connection to a host.
func (t TLS) Config(host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if t.CA != "" {
		pool, err := authorities(t.CA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	if t.Cert != "" {
		own, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", t.Cert, t.Key, err)
		}
		// Sent whatever the part says of whom it trusts: it then says why it
		// refuses, where the library would leave the certificate out in silence.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	}
	return c, nil
}

func authorities(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

// Check tells whether the files can be used; that a certificate has expired is
// found when it is shown, for it may be renewed by then.
func (t TLS) Check() error {
	if (t.Cert == "") != (t.Key == "") {
		return errors.New("a certificate and its key come together")
	}
	_, err := t.Config("")
	return err
}

// Shake secures a connection to an address. It closes one that it cannot.
func (t TLS) Shake(ctx context.Context, conn net.Conn, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	c, err := t.Config(host)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	secure := tls.Client(conn, c)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// Secret names a file with a password.
type Secret string

// Read returns the password as it stands there now; "" is none.
func (s Secret) Read() (string, error) {
	if s == "" {
		return "", nil
	}
	b, err := os.ReadFile(string(s))
	return strings.TrimRight(string(b), "\r\n"), err
}
