package bubble
import ("testing";"time";"os";"tieout.dev/services/cmd/tieout/crm")
func TestSmoke(t *testing.T) {
	inside(t, pace{pollEvery: time.Minute}, func(b *bubble) {
		start := time.Now()
		id, err := b.portal.Company(b.t.Context(), map[string]string{"name":"Acme"})
		if err != nil { t.Fatal(err) }
		d, err := b.portal.Deal(b.t.Context(), crm.Deal{Name:"D1", Company:id, Currency:"EUR", Lines: []crm.Line{{Name:"W", Quantity:"3", Price:"33.33"}}})
		if err != nil { t.Fatal(err) }
		if err := b.portal.Move(b.t.Context(), d, crm.Won); err != nil { t.Fatal(err) }
		dur := 3*time.Hour
		if s := os.Getenv("DUR"); s != "" { dur, _ = time.ParseDuration(s) }
		time.Sleep(dur)
		t.Log(time.Since(start))
		r, err := b.portal.Record(b.t.Context(), "deals", d, "tieout_invoice_number")
		t.Log(r, err)
	})
}
