package ingest

import (
	"slices"
	"testing"

	"tieout.dev/services/internal/event"
	"tieout.dev/services/internal/store"
	"tieout.dev/services/internal/trail"
)

// newest is the newest event of a deal.
func (w *world) newest(id string) *event.Event {
	w.t.Helper()
	var body []byte
	if err := w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT body FROM event WHERE ref = $1 ORDER BY rev DESC, slot_no DESC LIMIT 1`, dealRef(id).String()).Scan(&body)
	}); err != nil {
		w.t.Fatal(err)
	}
	e, err := event.Decode(body)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// What a record was merged from is told once and known for ever: each revision
// comes after the merged ones' slots, in whatever lane they are, and names them; and
// a merged record is admitted no more.
func TestMergesAreRemembered(t *testing.T) {
	w := open(t)
	w.portal.put("7", "a", customer)
	w.portal.put("8", "a", customer)
	w.run()
	w.read("7", 1)
	w.read("8", 1)
	w.portal.put("8", "b", "hubspot/1/company/6") // and its older slot stands where it was
	w.read("8", 2)
	w.portal.put("9", "a", customer, dealRef("7"), dealRef("8"))
	w.read("9", 1)
	merged := []string{dealRef("7").String(), dealRef("8").String()}
	after := []event.LaneSeq{{Lane: customer, Seq: 1}, {Lane: customer, Seq: 2}, {Lane: "hubspot/1/company/6", Seq: 1}}
	if e := w.newest("9"); e.Type != event.Merge || !slices.Equal(e.MergedFrom, merged) || !slices.Equal(e.After, after) {
		t.Errorf("the merge is %s of %v after %v", e.Type, e.MergedFrom, e.After)
	}
	w.portal.put("9", "b", customer) // and the source says no more of the merge
	w.read("9", 2)
	if e := w.newest("9"); !slices.Equal(e.MergedFrom, merged) {
		t.Errorf("the next revision names %v", e.MergedFrom)
	}
	w.portal.put("7", "read before it was merged", customer)
	w.deliver("secret", "7")
	w.until("it is read", func() bool { return w.count(`SELECT COUNT(*) FROM hint`) == 0 })
	if n := w.count(`SELECT COUNT(*) FROM event WHERE ref = $1`, dealRef("7").String()); n != 1 {
		t.Errorf("a merged deal has %d events", n)
	}
}

// A read that started before its customer was found merged away may still name the
// former one: it is read again, and one that started later is believed, whatever it
// names.
func TestAReadFromBeforeItsCustomersMergeIsReadAgain(t *testing.T) {
	w := open(t)
	const began = 3 // reads, by when the merge was found
	w.merge(parse(customer), parse("hubspot/1/company/7"), began)
	w.portal.put("5", "a", customer)
	w.run()
	w.deliver("secret", "5")
	w.until("the deal is admitted", func() bool {
		return w.count(`SELECT COUNT(*) FROM event`) == 1 && w.count(`SELECT COUNT(*) FROM hint`) == 0
	})
	if e := w.newest("5"); e.Lane != "hubspot/1/company/7" {
		t.Errorf("the deal is in lane %s", e.Lane)
	}
	if no := w.count(`SELECT read_no FROM object WHERE ref = $1`, dealRef("5").String()); no <= began {
		t.Errorf("read %d was admitted, and the merge was found after read %d", no, began)
	}
}

// What was made of a record that was merged away, as by a slot of a lost life, has
// its survivor read once more.
func TestALinkOfAMergedRecordAsksForItsSurvivor(t *testing.T) {
	w := open(t)
	w.merge(dealRef("7"), dealRef("9"), 0)
	hints := func(subject string) int64 {
		w.fact(trail.Fact{Type: "link.created", Subject: dealRef(subject).String(), Posting: &trail.Posting{SourceRef: dealRef("7").String()}})
		return w.count(`SELECT COUNT(*) FROM hint WHERE ref = $1`, dealRef("9").String())
	}
	if n := hints("9"); n != 0 {
		t.Errorf("linked by a slot of the survivor: %d hints of it", n)
	}
	if n := hints("7"); n != 1 {
		t.Errorf("linked by a slot of the merged deal: %d hints of the survivor", n)
	}
}

// read has a deal read until so many events of it are admitted.
func (w *world) read(id string, events int64) {
	w.t.Helper()
	w.deliver("secret", id)
	w.until("deal "+id+" is admitted", func() bool {
		return w.count(`SELECT COUNT(*) FROM event WHERE ref = $1`, dealRef(id).String()) == events && w.count(`SELECT COUNT(*) FROM hint`) == 0
	})
}

// merge notes that a record became another one, and by which read that was found.
func (w *world) merge(loser, into event.Ref, read int64) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO alias (ref, survivor, read_no) VALUES ($1, $2, $3)`, loser.String(), into.String(), read)
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
}
