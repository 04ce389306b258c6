package lab

import (
	"strings"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/document"
)

// request is the body of one item on the wire: frozen text.
type request struct {
	Effect              connector.Effect
	Kind                document.Kind
	Mark, Ref, Version  string
	Subject             string
	Fields              map[string]string
	customer, day, note string
	net, tax, name      string
}

func (r request) bytes() []byte {
	return []byte(strings.Join([]string{
		string(r.Effect), string(r.Kind), r.Mark, r.Ref, r.Version, r.Subject, r.Fields["customer"], r.Fields["issue_date"], r.Fields["note"], r.Fields["line.1.net"], r.Fields["line.1.tax"], r.Fields["name"],
	}, "\x00"))
}

func readRequest(b []byte) request {
	f := strings.Split(string(b), "\x00")
	return request{
		Effect: connector.Effect(f[0]), Kind: document.Kind(f[1]), Mark: f[2], Ref: f[3], Version: f[4], Subject: f[5], customer: f[6], day: f[7], note: f[8], net: f[9], tax: f[10], name: f[11],
	}
}
