package ingest

import (
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
)

// openArchive is a CRM whose deals were all read, and whose archive was looked at for
// the first time; the clock of ingest is ahead by later.
func openArchive(t *testing.T, later *time.Duration, deals, companies int) (*crm, connector.Archiver, []string) {
	t.Helper()
	c := openCRM(t)
	c.in.deps.Now = func() time.Time { return time.Now().Add(*later) }
	s := c.in.sources[0]
	archiver := s.conn.Source.(connector.Archiver)
	ids := c.deals(deals, companies)
	if err := s.archiveDue(t.Context(), archiver); err != nil {
		t.Fatal(err)
	}
	s.pollOnce(t.Context())
	c.readHinted()
	return c, archiver, ids
}

// readHinted reads what is hinted at.
func (c *crm) readHinted() {
	c.t.Helper()
	for c.count(`SELECT COUNT(*) FROM hint`) > 0 {
		if _, err := c.in.sources[0].fetchDue(c.t.Context()); err != nil {
			c.t.Fatal(err)
		}
	}
}

// A deletion that no webhook told and no search shows is found within a day,
// once, and a listing that breaks off is begun again.
func TestArchivedRecordsAreFoundWithinADay(t *testing.T) {
	var later time.Duration
	c, archiver, ids := openArchive(t, &later, 120, 3)
	s := c.in.sources[0]
	hinted := func() int64 { return c.count(`SELECT COUNT(*) FROM hint`) }
	for _, id := range ids[:110] {
		c.ask("DELETE", "/crm/v3/objects/deals/"+id, nil)
	}
	stranger := c.deals(1, 1)[0] // never read, and gone
	c.ask("DELETE", "/crm/v3/objects/deals/"+stranger, nil)
	if s.pollOnce(t.Context()); hinted() != 0 {
		t.Fatalf("the poll shows %d changes: a search shows no archived records", hinted())
	}

	for _, step := range []struct {
		after time.Duration
		fault bool
		want  int64
	}{{time.Hour, false, 0}, {24 * time.Hour, true, 100}, {24 * time.Hour, false, 110}} {
		if later = step.after; step.fault { // the second page is lost
			c.ask("POST", "/_sandbox/faults", map[string]any{"effect": "fault_in_200", "match": map[string]any{"method": "GET", "path": "/crm/v3/objects/deals", "nth": 2}, "times": 1})
		}
		if err := s.archiveDue(t.Context(), archiver); (err != nil) != step.fault || hinted() != step.want {
			t.Fatalf("after %s: %d records to be read, %v; want %d", step.after, hinted(), err, step.want)
		}
	}
	c.readHinted()
	if n := c.count(`SELECT COUNT(*) FROM object WHERE deleted = 1`); n != 110 {
		t.Errorf("%d records are known to be gone", n)
	}
	if n := c.count(`SELECT COUNT(*) FROM event WHERE rev = 2`); n != 110 {
		t.Errorf("%d events of records that went away", n)
	}
	if err := s.archiveDue(t.Context(), archiver); err != nil || hinted() != 0 {
		t.Errorf("%d records are read again the same day, %v", hinted(), err)
	}
	if later = 49 * time.Hour; s.archiveDue(t.Context(), archiver) != nil || hinted() != 0 {
		t.Errorf("%d records that are known to be gone are read again", hinted())
	}
	c.inOrder()
}

// A record that was merged into another one is archived, and is not gone.
func TestMergedAwayRecordsAreNoDeletions(t *testing.T) {
	c := openCRM(t)
	s := c.in.sources[0]
	ref := event.Ref{System: "hubspot", Account: "48213", Type: "deal", ID: "7"}
	err := c.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO object (ref, rev, hash, vendor_version, read_no, deleted) VALUES ($1, 1, 'h', '', 1, 0)`, ref.String())
		if err == nil {
			_, err = tx.Exec(`INSERT INTO alias (ref, survivor) VALUES ($1, 'hubspot/48213/deal/8')`, ref.String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.takenForLive(t.Context(), []connector.Gone{{Ref: ref}}); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	drill.Injected(t, 1, 90)
}

// Two deals that are known become one, and that is deleted before anybody read it: what
// they have in the books is found to be owed no more.
func TestADeletedSurvivorIsFoundByWhatItTookIn(t *testing.T) {
	var later time.Duration
	c, archiver, ids := openArchive(t, &later, 2, 1)
	s := c.in.sources[0]
	into := c.ask("POST", "/crm/v3/objects/deals/merge", map[string]any{"primaryObjectId": ids[0], "objectIdToMerge": ids[1]})["id"].(string)
	c.ask("DELETE", "/crm/v3/objects/deals/"+into, nil)
	for g, err := range archiver.Archived(t.Context(), "deal") {
		if err != nil || g.Ref.ID == into && len(g.MergedFrom) != 2 {
			t.Fatalf("%v, %v", g, err)
		}
	}

	later = 25 * time.Hour
	if err := s.archiveDue(t.Context(), archiver); err != nil {
		t.Fatal(err)
	}
	if n := c.count(`SELECT COUNT(*) FROM hint WHERE ref LIKE '%/deal/` + into + `'`); n != 1 {
		t.Fatalf("%d hints of the survivor", n)
	}
	c.readHinted()
	if n := c.count(`SELECT COUNT(*) FROM object WHERE deleted = 1 AND ref LIKE '%/deal/` + into + `'`); n != 1 {
		t.Error("the survivor is not known to be gone")
	}
	if n := c.count(`SELECT COUNT(*) FROM alias WHERE survivor LIKE '%/deal/` + into + `'`); n != 2 {
		t.Errorf("%d records are merged into it", n)
	}
}
