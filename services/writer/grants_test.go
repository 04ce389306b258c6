package writer

import (
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/store"
)

// grantEnds stores a grant that ends then, as a refresh would.
func (d *desk) grantEnds(in time.Duration) {
	d.t.Helper()
	if err := d.tokens.Replace(d.t.Context(), connector.Grant{Access: "a", Refresh: "r", RefreshExpires: d.now.Add(in)}, nil); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) look() {
	d.t.Helper()
	for range 2 { // whoever looks again says nothing new
		if err := d.server.w.checkGrants(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// said: so many facts and open exceptions are there.
func (d *desk) said(when string, expiring, open int64) {
	d.t.Helper()
	if n := d.count(`SELECT COUNT(*) FROM exception WHERE state = 'open' AND kind = 'credential' AND lane = '' AND fix = 'tieout connections authorize books'`); n != open {
		d.t.Errorf("%s: %d exceptions are open, want %d", when, n, open)
	}
	if n := d.count(`SELECT COUNT(*) FROM outbox WHERE headers LIKE '%connection.expiring%'`); n != expiring {
		d.t.Errorf("%s: it was said %d times, want %d", when, n, expiring)
	}
}

func TestAConsentThatEndsIsSaidInTime(t *testing.T) {
	d := newDesk(t)
	d.look()
	d.said("nothing is stored", 0, 0)
	d.grantEnds(15 * day)
	d.look()
	d.said("15 days before", 0, 0)
	d.now = d.now.Add(2 * day)
	d.look()
	d.said("13 days before", 1, 1)
	d.now = d.now.Add(10*day + time.Hour)
	d.look()
	d.said("3 days before", 2, 1)
	if err := d.db.Write(t.Context(), func(tx *store.Tx) error { // a person has seen it
		_, err := tx.Exec(`UPDATE exception SET state = 'released'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	d.look()
	d.said("after a person saw it", 2, 0)
	d.now = d.now.Add(2 * day)
	d.look()
	d.said("1 day before", 3, 1)
	d.now = d.now.Add(2 * day)
	d.look()
	d.said("after its end", 3, 1)

	d.granted.Grant.RefreshExpires = d.now.Add(100 * day)
	if _, err := d.finish(d.begin(), "c", nil); err != nil {
		t.Fatal(err)
	}
	d.said("after a new consent", 3, 0)
	if n := d.count(`SELECT COUNT(*) FROM exception WHERE state = 'released' AND action = 'renewed'`); n != 1 {
		t.Errorf("%d exceptions were released by the new consent", n)
	}
	d.now = d.now.Add(87 * day)
	d.look()
	d.said("before the next end", 4, 1)
}
