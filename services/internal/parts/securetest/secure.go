// Package securetest makes what secured parts are given in tests.
package securetest

import (
	"crypto/rand"
	"path/filepath"
	"testing"

	"tieout.dev/services/internal/parts"
	"tieout.dev/services/internal/trust/trusttest"
)

// New is what secured parts are given, all issued by an authority that is made
// here, in a folder.
func New(t testing.TB, dir string) (*parts.Secure, *trusttest.Authority) {
	t.Helper()
	ca := trusttest.New(t, dir)
	s := &parts.Secure{CA: ca.CA(), User: "tieout", Password: rand.Text(), Chain: filepath.Join(dir, "server.chain.pem"), Ended: filepath.Join(dir, "ended.chain.pem")}
	s.Cert, s.Key = ca.Issue("server")
	ca.Issue("ended", trusttest.Ended())
	s.ClientCert, s.ClientKey = ca.Issue(s.User, trusttest.Client())
	return s, ca
}
