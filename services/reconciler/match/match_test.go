package match_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/money"
	"tieout.dev/services/reconciler/match"
)

const (
	target = "quickbooks/1"
	day    = "2026-11-10"
)

func ref(n int) string { return "hubspot/1/deal/" + strconv.Itoa(n) }

func inv(n int) string { return "quickbooks/1/invoice/" + strconv.Itoa(n) }

func eur(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: "EUR"} }

func usd(minor int64) money.Amount { return money.Amount{Minor: minor, Currency: "USD"} }

// with is what an amount comes to with 23 % tax.
func with(net money.Amount) money.Amount {
	net.Minor += (net.Minor*23 + 50) / 100
	return net
}

// world is what the three lists are made of.
type world struct{ match.Input }

func period() *world {
	return &world{match.Input{Entity: "acme", Target: target, Period: "2026-11", From: "2026-11-01", To: "2026-12-01", Open: map[string]string{}}}
}

func (w *world) source(n int, net money.Amount) *world {
	w.Sources = append(w.Sources, match.Source{Ref: ref(n), Part: "invoice", Want: match.Issued, Net: net, IssueDate: day})
	return w
}

func (w *world) want(n int, want match.Want) *world {
	w.Sources = append(w.Sources, match.Source{Ref: ref(n), Want: want})
	return w
}

func (w *world) journal(n int, net money.Amount) *world {
	w.Journal = append(w.Journal, match.Journal{SourceRef: ref(n), Part: "invoice", N: 1, OtherRef: inv(n), Net: net, Gross: with(net), IssueDate: day})
	return w
}

func (w *world) books(n int, net money.Amount) *world {
	w.Books = append(w.Books, match.Books{Ref: inv(n), Mark: document.Mark(target, ref(n), "invoice", 1), Net: net, Gross: with(net), IssueDate: day})
	return w
}

// all is a document in balance.
func (w *world) all(n int, net money.Amount) *world {
	return w.source(n, net).journal(n, net).books(n, net)
}

// edit changes what was added last to a list.
func (w *world) editBooks(change func(*match.Books)) *world {
	change(&w.Books[len(w.Books)-1])
	return w
}

func (w *world) editJournal(change func(*match.Journal)) *world {
	change(&w.Journal[len(w.Journal)-1])
	return w
}

func (w *world) editSource(change func(*match.Source)) *world {
	change(&w.Sources[len(w.Sources)-1])
	return w
}

func (w *world) open(n int, cause string) *world {
	w.Open[ref(n)] = cause
	return w
}

// want is what a case expects of the row in EUR and of the only break.
type want struct {
	kind        match.Kind
	cause       string
	explained   bool
	amount      int64
	count, net  int64 // unexplained
	gross       int64
	sourceCount int64
	booksCount  int64
	noBreak     bool
}

func cases() map[string]struct {
	in   *world
	want want
} {
	type c = struct {
		in   *world
		want want
	}
	return map[string]c{
		"clean": {period().all(1, eur(10000)).all(2, eur(1)), want{noBreak: true, sourceCount: 2, booksCount: 2}},
		"missing, never posted": {period().all(1, eur(5)).source(2, eur(700)),
			want{kind: match.Missing, cause: match.NeverPosted, amount: 700, count: 1, net: 700, sourceCount: 2, booksCount: 1}},
		"missing, deleted by a person": {period().source(1, eur(700)).journal(1, eur(700)),
			want{kind: match.Missing, cause: match.Deleted, amount: 700, count: 1, net: 700, gross: 861, sourceCount: 1}},
		"missing, voided by a person": {period().all(1, eur(700)).editBooks(func(b *match.Books) { b.Void, b.Net, b.Gross = true, eur(0), eur(0) }),
			want{kind: match.Missing, cause: match.Voided, amount: 700, count: 1, net: 700, gross: 861, sourceCount: 1}},
		"missing, voided by us and wanted again": {period().source(1, eur(700)).journal(1, eur(700)).editJournal(func(j *match.Journal) { j.Void = true }),
			want{kind: match.Missing, cause: match.NeverPosted, amount: 700, count: 1, net: 700, sourceCount: 1}},
		"parked explains missing": {period().source(1, eur(700)).open(1, "parked"), want{kind: match.Missing, cause: "parked", explained: true, amount: 700, sourceCount: 1}},
		"discarded by a person":   {period().source(1, eur(700)).open(1, match.Discarded), want{kind: match.Missing, cause: match.Discarded, explained: true, amount: 700, sourceCount: 1}},
		"discarded, and edited by hand since": {period().all(1, eur(700)).open(1, match.Discarded).editBooks(func(b *match.Books) { b.Net, b.Gross = eur(600), eur(738) }),
			want{kind: match.Stale, cause: match.Edited, amount: 100, count: 1, net: 100, gross: 123, sourceCount: 1, booksCount: 1}},
		"orphan, no source record": {period().journal(1, eur(700)).books(1, eur(700)),
			want{kind: match.Orphan, cause: match.NoRecord, amount: -700, count: 1, net: -700, gross: -861, booksCount: 1}},
		"orphan, not wanted": {period().want(1, match.Nothing).journal(1, eur(700)).books(1, eur(700)),
			want{kind: match.Orphan, cause: match.NotWanted, amount: -700, count: 1, net: -700, gross: -861, booksCount: 1}},
		"orphan, its void is parked": {period().want(1, match.Nothing).journal(1, eur(700)).books(1, eur(700)).open(1, "parked"),
			want{kind: match.Orphan, cause: "parked", explained: true, amount: -700, booksCount: 1}},
		"orphan, rejected": {period().want(1, match.Rejected).journal(1, eur(700)).books(1, eur(700)),
			want{kind: match.Orphan, cause: match.RejectedNow, amount: -700, count: 1, net: -700, gross: -861, booksCount: 1}},
		"rejected, and nothing to be booked": {period().want(1, match.Rejected), want{noBreak: true}},
		"orphan, a mark nobody knows":        {period().books(1, eur(9)), want{kind: match.Orphan, cause: match.UnknownMark, amount: -9, count: 1, net: -9, gross: -11, booksCount: 1}},
		"made by a probe, and not taken back": {period().all(1, eur(10)).books(2, eur(1)).editBooks(func(b *match.Books) { b.Mark = document.ProbeMark("r", 1) }),
			want{kind: match.Orphan, cause: match.ProbeLeft, explained: true, amount: -1, sourceCount: 1, booksCount: 2}},
		"made by a probe, and voided": {period().all(1, eur(10)).books(2, eur(0)).editBooks(func(b *match.Books) { b.Mark, b.Void = document.ProbeMark("r", 1), true }),
			want{noBreak: true, sourceCount: 1, booksCount: 1}},
		"entered by others": {period().all(1, eur(10)).books(2, eur(99)).editBooks(func(b *match.Books) { b.Mark = "" }),
			want{kind: match.Orphan, cause: match.NotOurs, explained: true, amount: -99, sourceCount: 1, booksCount: 2}},
		"amount, the change was not sent": {period().source(1, eur(1200)).journal(1, eur(1000)).books(1, eur(1000)),
			want{kind: match.Amount, cause: match.SourceChanged, amount: 200, count: 1, net: 200, sourceCount: 1, booksCount: 1}},
		"amount, on its way": {period().source(1, eur(1200)).journal(1, eur(1000)).books(1, eur(1000)).open(1, "in_flight"),
			want{kind: match.Amount, cause: match.InFlight, explained: true, amount: 200, sourceCount: 1, booksCount: 1}},
		"stale, edited by hand": {period().all(1, eur(1000)).editBooks(func(b *match.Books) { b.Net, b.Gross = eur(900), eur(1107) }),
			want{kind: match.Stale, cause: match.Edited, amount: 100, count: 1, net: 100, gross: 123, sourceCount: 1, booksCount: 1}},
		"stale, tax by hand": {period().all(1, eur(1000)).editBooks(func(b *match.Books) { b.Gross = eur(1000) }),
			want{kind: match.Stale, cause: match.Edited, count: 1, gross: 230, sourceCount: 1, booksCount: 1}},
		"duplicate, one mark": {period().all(1, eur(50)).books(2, eur(50)).editBooks(func(b *match.Books) { b.Mark = document.Mark(target, ref(1), "invoice", 1) }),
			want{kind: match.Duplicate, cause: match.SameRecord, amount: -50, count: 1, net: -50, gross: -62, sourceCount: 1, booksCount: 2}},
		"duplicate, reissued and both live": {period().all(1, eur(50)).journal(1, eur(50)).editJournal(func(j *match.Journal) { j.N, j.OtherRef = 2, inv(2) }).
			books(2, eur(50)).editBooks(func(b *match.Books) { b.Mark = "" }),
			want{kind: match.Duplicate, cause: match.SameRecord, amount: -50, count: 1, net: -50, gross: -62, sourceCount: 1, booksCount: 2}},
		"won, lost and won again": {period().source(1, eur(50)).
			journal(1, eur(0)).editJournal(func(j *match.Journal) { j.Void = true }).books(1, eur(0)).editBooks(func(b *match.Books) { b.Void = true }).
			journal(1, eur(50)).editJournal(func(j *match.Journal) { j.N, j.OtherRef = 2, inv(2) }).
			books(2, eur(50)).editBooks(func(b *match.Books) { b.Mark = document.Mark(target, ref(1), "invoice", 2) }), want{noBreak: true, sourceCount: 1, booksCount: 1}},
		"the trail is late": {period().source(1, eur(50)).books(1, eur(50)), want{noBreak: true, sourceCount: 1, booksCount: 1}},
		"redated to another period": {period().all(1, eur(50)).editBooks(func(b *match.Books) { b.IssueDate = "2026-12-01" }).editJournal(func(j *match.Journal) { j.IssueDate = "2026-12-01" }),
			want{noBreak: true, sourceCount: 1}},
		"of another period at the source": {period().all(1, eur(50)).editSource(func(s *match.Source) { s.IssueDate = "2026-10-31" }), want{noBreak: true, booksCount: 1}},
		"of another period altogether": {period().all(1, eur(50)).editSource(func(s *match.Source) { s.IssueDate = "2026-10-31" }).
			editJournal(func(j *match.Journal) { j.IssueDate = "2026-10-31" }).editBooks(func(b *match.Books) { b.IssueDate = "2026-10-31" }), want{noBreak: true}},
		"removed and not wanted": {period().want(1, match.Nothing).journal(1, eur(5)), want{kind: match.Stale, cause: match.GoneUnwanted, explained: true}},
	}
}

func TestEachDifferenceIsNamed(t *testing.T) {
	for name, c := range cases() {
		t.Run(name, func(t *testing.T) {
			r := compare(t, c.in.Input)
			row := rowOf(r, "EUR")
			got := want{count: row.Unexplained.Count, net: row.Unexplained.Net.Minor, gross: row.Unexplained.Gross.Minor, sourceCount: row.Source.Count, booksCount: row.Books.Count, noBreak: len(r.Breaks) == 0}
			if !row.Unexplained.GrossKnown {
				got.gross = 0
			}
			if len(r.Breaks) > 1 {
				t.Fatalf("breaks %+v", r.Breaks)
			}
			if len(r.Breaks) == 1 {
				b := r.Breaks[0]
				got.kind, got.cause, got.explained, got.amount = b.Kind, b.Cause, b.State == match.Settled, b.Amount.Minor
				if b.Repair == "" || b.ID != match.BreakID(b.Kind, "acme", b.SourceRef, b.BooksRef, "2026-11") {
					t.Errorf("break %+v", b)
				}
			}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v\nreport %+v", got, c.want, r)
			}
		})
	}
}

func compare(t *testing.T, in match.Input) *match.Report {
	t.Helper()
	r, err := match.Compare(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows {
		holds(t, row)
	}
	return r
}

// holds checks the law: the difference is the sum of its parts.
func holds(t *testing.T, row match.Row) {
	t.Helper()
	net := row.Unexplained.Net.Minor
	for _, e := range row.Explained {
		net += e.Side.Net.Minor
	}
	if row.Source.Net.Minor-row.Books.Net.Minor != net {
		t.Errorf("%s: source %d − books %d is not %d", row.Currency, row.Source.Net.Minor, row.Books.Net.Minor, net)
	}
}

func rowOf(r *match.Report, currency string) match.Row {
	for _, row := range r.Rows {
		if row.Currency == currency {
			return row
		}
	}
	return match.Row{}
}

// What is to be booked and cannot be rendered counts at the source and is
// explained, in a row of its own: its amount is not known.
func TestWhatIsRejectedIsSeen(t *testing.T) {
	w := period().all(1, eur(100))
	for n, date := range map[int]string{2: day, 3: day, 4: day, 5: "2026-10-31"} {
		w.want(n, match.Rejected).editSource(func(s *match.Source) { s.IssueDate = date })
	}
	w.open(2, "parked").open(3, "parked")
	w.journal(4, eur(5)).books(4, eur(5)) // one that was booked before is told as what it is
	r := compare(t, w.Input)
	e, x := rowOf(r, "EUR"), r.Rows[len(r.Rows)-1]
	if e.Source.Count != 1 || !e.Source.GrossKnown || e.Unexplained.Count != 1 {
		t.Errorf("EUR %+v", e)
	}
	if x.Currency != "" || x.Kind != "invoice" || x.Source.Count != 2 || x.Source.GrossKnown || x.Books.Count != 0 || x.Unexplained.Count != 0 {
		t.Errorf("unknown %+v", x)
	}
	if len(x.Explained) != 1 || x.Explained[0].Cause != "parked" || x.Explained[0].Side.Count != 2 || len(r.Breaks) != 3 {
		t.Errorf("explained %+v, breaks %+v", x.Explained, r.Breaks)
	}
	delete(w.Open, ref(3))
	r = compare(t, w.Input)
	if x := r.Rows[len(r.Rows)-1]; len(x.Explained) != 2 || x.Explained[1].Cause != match.RejectedNow {
		t.Errorf("nobody was told of one: %+v", x.Explained)
	}
}

// Two errors of one size do not cancel out.
func TestErrorsDoNotHideEachOther(t *testing.T) {
	w := period().source(1, eur(500)).journal(2, eur(500)).books(2, eur(500))
	row := rowOf(compare(t, w.Input), "EUR")
	if row.Unexplained.Count != 2 || row.Unexplained.Net.Minor != 0 || row.Source.Net != row.Books.Net {
		t.Fatalf("row %+v", row)
	}
}

func TestCurrenciesStandApart(t *testing.T) {
	w := period().all(1, eur(100)).all(2, usd(100)).source(3, usd(40)).source(4, eur(7)).journal(4, usd(7)).books(4, usd(7))
	r := compare(t, w.Input)
	e, u := rowOf(r, "EUR"), rowOf(r, "USD")
	if e.Source.Net != eur(107) || e.Books.Net != eur(100) || e.Unexplained.Count != 1 || e.Unexplained.Net != eur(7) {
		t.Errorf("EUR %+v", e)
	}
	if u.Source.Net != usd(140) || u.Books.Net != usd(107) || u.Unexplained.Count != 2 || u.Unexplained.Net != usd(33) {
		t.Errorf("USD %+v", u)
	}
	if len(r.Breaks) != 2 {
		t.Errorf("breaks %+v", r.Breaks)
	}
}

// A clean set shows three equal sides, with the gross that the books found.
func TestInBalance(t *testing.T) {
	w := period()
	for i := range 100 {
		w.all(i, eur(int64(i)*37+1))
	}
	row := rowOf(compare(t, w.Input), "EUR")
	if !reflect.DeepEqual(row.Source, row.Journal) || !reflect.DeepEqual(row.Source, row.Books) || row.Source.Count != 100 || !row.Source.GrossKnown || len(row.Explained) != 0 {
		t.Fatalf("row %+v", row)
	}
}

func TestOrderDoesNotMatter(t *testing.T) {
	w := period()
	i := 0
	for _, c := range cases() {
		i += 10
		w.add(c.in, i)
	}
	want := compare(t, w.Input)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		rnd.Shuffle(len(w.Sources), func(i, j int) { w.Sources[i], w.Sources[j] = w.Sources[j], w.Sources[i] })
		rnd.Shuffle(len(w.Journal), func(i, j int) { w.Journal[i], w.Journal[j] = w.Journal[j], w.Journal[i] })
		rnd.Shuffle(len(w.Books), func(i, j int) { w.Books[i], w.Books[j] = w.Books[j], w.Books[i] })
		if got := compare(t, w.Input); !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	}
}

// add puts another world beside this one, under numbers of its own.
func (w *world) add(other *world, by int) {
	move := func(s string) string {
		if s == "" {
			return s
		}
		return s + "0" + strconv.Itoa(by)
	}
	marks := map[string]string{}
	for n := range 4 {
		for k := int64(1); k < 3; k++ {
			marks[document.Mark(target, ref(n), "invoice", k)] = document.Mark(target, move(ref(n)), "invoice", k)
		}
	}
	for _, s := range other.Sources {
		s.Ref = move(s.Ref)
		w.Sources = append(w.Sources, s)
	}
	for _, j := range other.Journal {
		j.SourceRef, j.OtherRef = move(j.SourceRef), move(j.OtherRef)
		w.Journal = append(w.Journal, j)
	}
	for _, b := range other.Books {
		b.Ref, b.Mark = move(b.Ref), marks[b.Mark]
		w.Books = append(w.Books, b)
	}
	for r, cause := range other.Open {
		w.Open[move(r)] = cause
	}
}

// What is seen in one look only moves; it is explained until it is seen twice.
func TestADifferenceIsSeenTwice(t *testing.T) {
	w := period().source(1, eur(500))
	first := compare(t, w.Input)
	w.source(2, eur(70))
	w.Seen = first.OpenIDs()
	second := compare(t, w.Input)
	row := rowOf(second, "EUR")
	if !first.Unexplained() || row.Unexplained.Net != eur(500) || len(row.Explained) != 1 || row.Explained[0].Cause != match.InFlight || row.Explained[0].Side.Net != eur(70) {
		t.Fatalf("first %+v\nsecond %+v", first, second)
	}
	w.Seen = map[string]bool{}
	if compare(t, w.Input).Unexplained() {
		t.Fatal("what was not seen before is held against the books")
	}
}

func TestTargetsAreJoined(t *testing.T) {
	a := compare(t, period().all(1, eur(10)).source(2, eur(5)).Input)
	b := compare(t, period().all(3, eur(20)).all(4, usd(1)).books(5, eur(6)).Input)
	r, err := match.Join(a, b)
	if err != nil {
		t.Fatal(err)
	}
	row := rowOf(r, "EUR")
	holds(t, row)
	if len(r.Rows) != 2 || row.Source.Net != eur(35) || row.Books.Net != eur(36) || row.Unexplained.Count != 2 || row.Unexplained.Net != eur(-1) || len(r.Breaks) != 2 || row.Source.GrossKnown {
		t.Fatalf("report %+v", r)
	}
	if !slices.IsSortedFunc(r.Breaks, func(x, y match.Break) int { return cmp.Compare(x.Kind, y.Kind) }) {
		t.Errorf("breaks %+v", r.Breaks)
	}
}

func TestASumThatDoesNotFitIsAnError(t *testing.T) {
	if r, err := match.Compare(period().source(1, eur(math.MaxInt64)).source(2, eur(1)).Input); err == nil {
		t.Fatalf("report %+v", r)
	}
}

// A hand in the books that leaves the amounts as they are is named all the same.
func TestAnEditOfOtherFieldsIsNamed(t *testing.T) {
	net := money.Amount{Minor: 1000, Currency: "EUR"}
	in := match.Input{
		Entity: "e", Target: "t",
		Sources: []match.Source{{Ref: "s", Part: "invoice", Want: match.Issued, Net: net, IssueDate: "2026-11-10"}},
		Journal: []match.Journal{{SourceRef: "s", Part: "invoice", N: 1, OtherRef: "b", Net: net, Gross: net, IssueDate: "2026-11-10", Content: "as we left it"}},
		Books:   []match.Books{{Ref: "b", Net: net, Gross: net, IssueDate: "2026-11-10", Content: "as we left it"}},
	}
	if r, err := match.Compare(in); err != nil || len(r.Breaks) != 0 {
		t.Fatalf("%v, %v", r, err)
	}
	in.Books[0].Content = "edited"
	r, err := match.Compare(in)
	if err != nil || len(r.Breaks) != 1 || r.Breaks[0].Cause != match.Edited || !r.Unexplained() || r.Breaks[0].Amount.Minor != 0 {
		t.Fatalf("%v, %v", r, err)
	}
}

// What a credit note takes back is explained, in the periods of both; the rest of it
// is not.
func TestACorrectedInvoiceIsExplained(t *testing.T) {
	old, now := "2026-10-10", "2026-11-01"
	in := match.Input{
		Entity: "e", Target: "t",
		Sources: []match.Source{{Ref: "s", Part: "invoice", Want: match.Issued, Net: eur(120), IssueDate: old}},
		Journal: []match.Journal{
			{SourceRef: "s", Part: "invoice", N: 1, OtherRef: "a", Net: eur(100), Gross: eur(100), IssueDate: old, Credited: true},
			{SourceRef: "s", Part: "invoice", N: 2, OtherRef: "b", Net: eur(120), Gross: eur(120), IssueDate: now},
		},
		Books: []match.Books{{Ref: "a", Net: eur(100), Gross: eur(100), IssueDate: old}, {Ref: "b", Net: eur(120), Gross: eur(120), IssueDate: now}},
		Credits: []match.Credit{{
			Was:  match.Journal{OtherRef: "c", Net: eur(100), Gross: eur(100), IssueDate: now, Content: "as we left it"},
			Note: &match.Books{Ref: "c", Net: eur(100), Gross: eur(100), IssueDate: now, Content: "as we left it"}, Invoice: "a", Mark: "TO-C",
		}},
	}
	for period, books := range map[string]int64{"": 120, "2026-10": 100, "2026-11": 20} {
		in.Period, in.From, in.To = period, "", ""
		if period != "" {
			in.From, in.To = period+"-01", period+"-32"
		}
		r := compare(t, in)
		row := rowOf(r, "EUR")
		holds(t, row)
		if row.Books.Net != eur(books) || row.Unexplained.Count != 0 || len(r.Breaks) != 0 {
			t.Errorf("period %q: books %v, unexplained %v, breaks %+v", period, row.Books.Net, row.Unexplained, r.Breaks)
		}
	}
	in.Period, in.From, in.To = "", "", ""
	note := *in.Credits[0].Note
	for _, x := range []struct {
		name, period string
		note         func(*match.Books)
		void         bool
		kind         match.Kind
		cause        string
		left         int64
	}{
		{"the credit note was edited", "", func(b *match.Books) { b.Net = eur(90) }, false, match.Stale, match.CreditEdited, -10},
		{"it was moved to another customer", "", func(b *match.Books) { b.Content = "moved" }, false, match.Stale, match.CreditEdited, 0},
		{"it was dated otherwise", "2026-11", func(b *match.Books) { b.IssueDate = old }, false, match.Stale, match.CreditEdited, 0},
		{"it was deleted", "", nil, false, match.Stale, match.CreditGone, -100},
		{"it was deleted, seen from its period", "2026-11", nil, false, match.Stale, match.CreditGone, 0},
		{"it was deleted, seen from the invoice's", "2026-10", nil, false, match.Stale, match.CreditGone, -100},
		{"the invoice was voided as well", "", func(*match.Books) {}, true, match.Orphan, match.CreditAlone, 100},
	} {
		in.Period, in.From, in.To, in.Books[0].Void, in.Credits[0].Note = x.period, "", "", x.void, nil
		if x.period != "" {
			in.From, in.To = x.period+"-01", x.period+"-32"
		}
		if b := note; x.note != nil {
			x.note(&b)
			in.Credits[0].Note = &b
		}
		r := compare(t, in)
		row := rowOf(r, "EUR")
		holds(t, row)
		if len(r.Breaks) != 1 || r.Breaks[0].Kind != x.kind || r.Breaks[0].Cause != x.cause || row.Unexplained.Net != eur(x.left) || row.Unexplained.Count != 1 {
			t.Errorf("%s: %+v, unexplained %v", x.name, r.Breaks, row.Unexplained)
		}
		if x.cause == match.CreditGone && !strings.Contains(r.Breaks[0].Repair, "TO-C") {
			t.Errorf("%s: %s", x.name, r.Breaks[0].Repair)
		}
	}
}
