package parts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// Secure makes the parts speak TLS and know their users. Files are PEM; names
// are for the loopback interface.
type Secure struct {
	// CA has issued all certificates, also those that clients show.
	CA string
	// Cert, Key and Chain are a server's: its certificate, the key, and a file
	// with both.
	Cert, Key, Chain string
	// Ended is a chain that is no longer valid; brokers show it at a port of its own.
	Ended string
	// ClientCert and ClientKey are a client's whose name is User.
	ClientCert, ClientKey string
	// User and Password are known to the brokers and to Redis.
	User, Password string
}

// secureSettings: besides the first listener, which takes logins over TLS, a
// broker offers clients one that knows them by certificate, and one whose own
// certificate has ended.
const secureSettings = `listener.name.client.ssl.keystore.type=PEM
listener.name.client.ssl.keystore.location=%[1]s
listener.name.client.ssl.truststore.type=PEM
listener.name.client.ssl.truststore.location=%[2]s
listener.name.client.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.mutual.ssl.keystore.type=PEM
listener.name.mutual.ssl.keystore.location=%[1]s
listener.name.mutual.ssl.truststore.type=PEM
listener.name.mutual.ssl.truststore.location=%[2]s
listener.name.mutual.ssl.client.auth=required
listener.name.ended.ssl.keystore.type=PEM
listener.name.ended.ssl.keystore.location=%[3]s
`

// secure makes a broker's settings those of a secured one.
func (k *Kafka) secure(settings string, n int) string {
	if k.secured == nil {
		return settings
	}
	more := ",MUTUAL://" + k.Mutual[n-1] + ",ENDED://" + k.Ended[n-1]
	lines := strings.Split(settings, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "listeners=") || strings.HasPrefix(l, "advertised.listeners=") {
			lines[i] = l + more
		}
	}
	settings = strings.Replace(strings.Join(lines, "\n"), "CLIENT:PLAINTEXT", "CLIENT:SASL_SSL,MUTUAL:SSL,ENDED:SSL", 1)
	return settings + fmt.Sprintf(secureSettings, k.secured.Chain, k.secured.CA, k.secured.Ended)
}

// scram is the user that a secured cluster is formatted with.
func (k *Kafka) scram() []string {
	if k.secured == nil {
		return nil
	}
	return []string{"--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", k.secured.User, k.secured.Password)}
}

// redis are the server's arguments: no port without TLS, and no user but ours.
func (s *Secure) redis(port int) []string {
	return []string{"--port", "0", "--tls-port", fmt.Sprint(port), "--tls-cert-file", s.Cert, "--tls-key-file", s.Key, "--tls-ca-cert-file", s.CA, "--tls-auth-clients", "no",
		"--user", "default", "off", "--user", s.User, "on", ">" + s.Password, "~*", "+@connection", "+mget", "+set", "+flushall"}
}

// dial connects to a secured part as we would.
func (s *Secure) dial(ctx context.Context, address string) (net.Conn, error) {
	b, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return (&tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}).DialContext(ctx, "tcp", address)
}

// secure gives the server its certificate, in a file that is its own, and lets
// nobody in without TLS and a certificate in the user's name.
func (p *Postgres) secure() ([]string, error) {
	if p.secured == nil {
		return nil, nil
	}
	if err := p.Show(p.secured.Cert, p.secured.Key); err != nil {
		return nil, err
	}
	if err := p.place600("pg_hba.conf", []byte("hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-full\n")); err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(p.secured.CA)
	if err != nil {
		return nil, err
	}
	return []string{"-c", "ssl=on", "-c", "ssl_ca_file=clients.pem"}, p.place600("clients.pem", ca)
}

// Show gives a secured server a certificate; one that runs shows it after Reload.
func (p *Postgres) Show(cert, key string) error {
	for from, to := range map[string]string{cert: "server.crt", key: "server.key"} {
		b, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := p.place600(to, b); err != nil {
			return err
		}
	}
	return nil
}

func (p *Postgres) place600(name string, b []byte) error {
	path := filepath.Join(p.data, name)
	err := os.WriteFile(path, b, 0o600)
	if err == nil && p.as != nil {
		err = os.Chown(path, int(p.as.Uid), int(p.as.Gid))
	}
	return errors.Join(err, os.Chmod(path, 0o600))
}

// query is how a secured server's address ends for those who read it as it is.
func (s *Secure) query() string {
	return "?" + url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.CA}, "sslcert": {s.ClientCert}, "sslkey": {s.ClientKey}}.Encode()
}
