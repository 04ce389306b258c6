package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"reflect"
	"slices"
	"syscall"
	"time"
)

// Who acts on a refusal.
const (
	Operator = "operator"              // of this installation
	Host     = "whoever runs the part" // of the broker, the database, the cache
)

// RefusedError means that a part was reached and that we, or it, would not go
// on. Waiting does not mend it; a person does.
type RefusedError struct {
	At   string // address
	Why  string
	Who  string
	Next string
	Err  error
}

// Error says what happened, and who does what.
func (e *RefusedError) Error() string {
	text := fmt.Sprintf("%s: %s", e.At, e.Why)
	if e.Err != nil {
		text += fmt.Sprintf(" (%v)", e.Err)
	}
	return text + "; " + e.Who + ": " + e.Next
}

// Unwrap returns what was seen.
func (e *RefusedError) Unwrap() error { return e.Err }

// Explain returns a refusal for what can be told from the error of a connection,
// and the error itself where nothing can. Prefix is that of the part's keys in
// the configuration.
func (t TLS) Explain(prefix, address string, err error) error {
	var known *RefusedError
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &RefusedError{At: address, Err: err, Who: Operator}
	if t.explainCertificate(prefix, e) || t.explainFiles(prefix, e) || t.explainAlert(prefix, e) || t.explainSilence(prefix, e) {
		return e
	}
	return err
}

// explainCertificate: the part's certificate is not one that we take.
func (t TLS) explainCertificate(prefix string, e *RefusedError) bool {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	switch {
	case errors.As(e.Err, &unknown):
		e.Why, e.Next = "its certificate comes from an authority that "+t.authorities()+" does not hold", "put that authority's certificate into "+prefix+".tls.ca_file, if it is to be trusted"
	case errors.As(e.Err, &invalid) && invalid.Reason == x509.Expired:
		e.Why, e.Who, e.Next = fmt.Sprintf("its certificate is valid from %s to %s only", day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter)), Host, "renew it"
	case errors.As(e.Err, &invalid):
		e.Why, e.Who, e.Next = "its certificate may not be used for this", Host, "have one issued for a server"
	case errors.As(e.Err, &name):
		e.Why, e.Next = "its certificate is for another name", "name the part as its certificate does, or have one issued for this name"
	default:
		return false
	}
	return true
}

func (t TLS) authorities() string {
	if t.CA == "" {
		return "this machine"
	}
	return t.CA
}

func day(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// explainFiles: what we would show cannot be read.
func (t TLS) explainFiles(prefix string, e *RefusedError) bool {
	if !t.Enabled {
		return false
	}
	var path *fs.PathError
	if t.Check() == nil && !errors.As(e.Err, &path) {
		return false
	}
	e.Why, e.Next = "a file for the connection cannot be used", "put a readable one where "+prefix+".tls.ca_file, cert_file, key_file or the password's key says"
	return true
}

// The alerts of RFC 8446, section 6.2, that are about our certificate.
var aboutCertificate = []uint64{41, 42, 43, 44, 45, 46, 48, 49, 113, 116}

// explainAlert: the part said in a TLS alert that it refuses us.
func (t TLS) explainAlert(prefix string, e *RefusedError) bool {
	var op *net.OpError
	if !errors.As(e.Err, &op) || op.Op != "remote error" {
		return false
	}
	code := reflect.ValueOf(op.Err) // the library's type of an alert is not exported
	if code.Kind() != reflect.Uint8 || !slices.Contains(aboutCertificate, code.Uint()) {
		e.Why, e.Who, e.Next = "it refuses the TLS handshake", Host, "allow TLS 1.2 or 1.3 with current ciphers"
		return true
	}
	e.Why = "it refuses our certificate"
	switch end, err := t.ends(); {
	case t.Cert == "":
		e.Why, e.Next = "it asks for a certificate of ours", "set "+prefix+".tls.cert_file and "+prefix+".tls.key_file"
	case err == nil && time.Now().After(end):
		e.Why, e.Next = fmt.Sprintf("our certificate %s ended on %s", t.Cert, day(end)), "renew it; the new file is used at once"
	default:
		e.Next = "have " + t.Cert + " issued by an authority that the part trusts"
	}
	return true
}

// ends is when our own certificate does.
func (t TLS) ends() (time.Time, error) {
	own, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return time.Time{}, err
	}
	return own.Leaf.NotAfter, nil
}

// explainSilence: one side speaks TLS and the other does not. The part closes
// the connection, or answers what is none.
func (t TLS) explainSilence(prefix string, e *RefusedError) bool {
	var header tls.RecordHeaderError
	closed := errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrUnexpectedEOF) || errors.Is(e.Err, syscall.ECONNRESET) || errors.Is(e.Err, syscall.EPIPE)
	switch {
	case errors.As(e.Err, &header), t.Enabled && closed:
		e.Why, e.Next = "it does not go on with TLS: perhaps it speaks none on this port", "name the port that does, or set "+prefix+".tls.enabled to false"
	case closed, errors.Is(e.Err, ErrNotProtocol):
		e.Why, e.Next = "it does not take what is not TLS, or is another program", "set "+prefix+".tls.enabled to true, or name the right port"
	default:
		return false
	}
	return true
}

// ErrNotProtocol is for those who read an answer that is none in their
// protocol, such as a TLS alert.
var ErrNotProtocol = errors.New("the answer is not in the part's protocol")

// Denied is a refusal of a user or a password.
func Denied(prefix, address, user string, err error) *RefusedError {
	return &RefusedError{At: address, Why: fmt.Sprintf("it refuses the user %q or the password", user), Who: Operator,
		Next: "put the right one into the file of " + prefix + ".password_file; it is used at once", Err: err}
}

// Readable tells whether a file can be read.
func Readable(path string) bool {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return false
	}
	f, err := os.Open(path)
	return err == nil && f.Close() == nil
}
