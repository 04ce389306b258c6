package hubspot

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tieout.dev/services/internal/connector"
	"tieout.dev/services/internal/drill"
	"tieout.dev/services/internal/fault"
)

func TestFetchReadsADealWhole(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	r := s.fetch("deal", w.deal)
	if r.Ref != s.ref("deal", w.deal) || r.Customer != s.ref("company", w.company) || r.Problem != "" || r.Deleted {
		t.Fatalf("%+v", r)
	}
	want := fmt.Sprintf(`{"amount":"100.00","closedate":"2026-11-24T12:00:00.000Z","companies":[{"id":"%s","labels":["Primary"]}],"contacts":[{"id":"%s","labels":[]}],`+
		`"deal_currency_code":"EUR","dealname":"First","dealstage":"closedwon","dealtype":null,"description":null,"hs_is_closed":"true","hs_is_closed_won":"true","id":"%s",`+
		`"line_items":[{"amount":"100","description":null,"discount":null,"hs_discount_percentage":null,"hs_line_item_currency_code":"EUR","hs_position_on_quote":null,"hs_product_id":"%s",`+
		`"hs_recurring_billing_period":null,"hs_recurring_billing_start_date":null,"hs_sku":"SUP","id":"%s","name":"Support","price":"50.00","quantity":"2","recurringbillingfrequency":null,"type":"line_item"}],`+
		`"merged_ids":[],"pipeline":"default","type":"deal"}`, w.company, w.contact, w.deal, w.product, w.line)
	if string(r.Data) != want {
		t.Errorf("data\n got %s\nwant %s", r.Data, want)
	}
	related := decoded(t, r.Related)
	if text(related, s.ref("company", w.company).String(), "name") != "Acme" || text(related, s.ref("contact", w.contact).String(), "email") != "ann@acme.example" ||
		text(related, s.ref("product", w.product).String(), "hs_sku") != "SUP" || len(related) != 3 {
		t.Errorf("related %s", r.Related)
	}
}

func TestAHundredDealsAreEightRequests(t *testing.T) {
	s := newStage(t, nil)
	var ids []string
	company := s.create("companies", props{"name": "Acme"})
	contact := s.create("contacts", props{"email": "a@acme.example"})
	product := s.create("products", props{"name": "P", "price": "1"})
	for range 100 {
		line := s.create("line_items", props{"hs_product_id": product, "quantity": "1"})
		ids = append(ids, s.create("deals", props{"dealname": "d"}, 5, company, 3, contact, 19, line))
	}
	records, err := s.conn.Source.Fetch(t.Context(), "deal", append(ids, ids[0]))
	if err != nil || len(records) != 100 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	// the list had 101 ids, one of them twice
	if got := s.requests(); len(got) > 2*8 {
		t.Errorf("%d requests: %v", len(got), got)
	}
	before := len(s.requests())
	if _, err := s.conn.Source.Fetch(t.Context(), "deal", ids); err != nil {
		t.Fatal(err)
	}
	if n := len(s.requests()) - before; n != 8 {
		t.Errorf("%d requests", n)
	}
}

func TestTheCustomerIsThePrimaryCompany(t *testing.T) {
	s := newStage(t, nil)
	a, b := s.create("companies", props{"name": "A"}), s.create("companies", props{"name": "B"})
	for name, c := range map[string]struct {
		links    []any
		customer string
		problem  bool
	}{
		"primary of two":   {[]any{341, a, 5, b}, b, false},
		"only one":         {[]any{341, a}, a, false},
		"two, none leads":  {[]any{341, a, 341, b}, "", true},
		"none":             {nil, "", false},
		"the primary last": {[]any{5, a, 341, b}, a, false},
	} {
		r := s.fetch("deal", s.create("deals", props{"dealname": name}, c.links...))
		if r.Customer.ID != c.customer || (r.Problem != "") != c.problem {
			t.Errorf("%s: customer %q, problem %q", name, r.Customer.ID, r.Problem)
		}
		if c.problem && (!strings.Contains(r.Problem, a) || !strings.Contains(r.Problem, b)) {
			t.Errorf("%s: %q names no companies", name, r.Problem)
		}
	}
}

// A deal without a company is its contact's, so that a private person is one
// customer however often they buy; between several nothing is guessed.
func TestADealWithoutACompanyIsItsContacts(t *testing.T) {
	s := newStage(t, nil)
	a, b := s.create("contacts", props{"email": "a@mail.example"}), s.create("contacts", props{"email": "b@mail.example"})
	company := s.create("companies", props{"name": "Acme"})
	for name, c := range map[string]struct {
		links []any
		want  eventRef
	}{
		"only one":       {[]any{3, a}, s.ref("contact", a)},
		"another deal":   {[]any{3, a}, s.ref("contact", a)},
		"two":            {[]any{3, a, 3, b}, eventRef{}},
		"none":           {nil, eventRef{}},
		"with a company": {[]any{3, a, 5, company}, s.ref("company", company)},
	} {
		r := s.fetch("deal", s.create("deals", props{"dealname": name}, c.links...))
		if r.Customer != c.want || r.Problem != "" {
			t.Errorf("%s: customer %v, problem %q", name, r.Customer, r.Problem)
		}
	}
	labelled := &aggregate{typ: typeDeal, object: &object{ID: "7"}, contacts: []end{{ID: "1"}, {ID: "2", Labels: []string{labelPrimary}}}}
	if who, why := (&source{account: "48213"}).customer(labelled); who != s.ref("contact", "2") || why != "" {
		t.Errorf("of two, one primary: %v %q", who, why)
	}
}

func TestOtherTypesHaveTheirLane(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	lone := s.create("contacts", props{"email": "b@acme.example"}, 1, w.company)
	for typ, c := range map[string][2]string{"company": {w.company, w.company}, "contact": {lone, lone}, "product": {w.product, ""}} {
		if r := s.fetch(typ, c[0]); r.Customer.ID != c[1] || r.Problem != "" || r.Related != nil {
			t.Errorf("%s: %+v", typ, r)
		}
	}
}

func TestMergedIDsAreAnsweredByTheSurvivor(t *testing.T) {
	s := newStage(t, nil)
	a, b := s.create("companies", props{"name": "A"}), s.create("companies", props{"name": "B"})
	made := s.call("POST", "/crm/v3/objects/companies/merge", map[string]string{"primaryObjectId": a, "objectIdToMerge": b})["id"].(string)
	r := s.fetch("company", a, b, made)
	if r.Ref != s.ref("company", made) || !slices.Equal(r.MergedFrom, []eventRef{s.ref("company", a), s.ref("company", b)}) || r.Deleted {
		t.Fatalf("%+v", r)
	}
	if r.Customer != r.Ref {
		t.Errorf("customer %s", r.Customer)
	}
}

func TestGoneIsSaidByHubSpotOnly(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	s.call("DELETE", "/crm/v3/objects/deals/"+w.deal, nil)
	if r := s.fetch("deal", w.deal); !r.Deleted || r.Absent || text(decoded(t, r.Data), "dealname") != "First" {
		t.Errorf("archived: %+v", r)
	}
	if r := s.fetch("deal", "77"); !r.Deleted || !r.Absent || r.Ref.ID != "77" {
		t.Errorf("unknown: %+v", r)
	}
	other := s.create("deals", props{"dealname": "x"})
	s.control("faults", map[string]any{"effect": "partial_batch", "match": map[string]any{"path": "/crm/v3/objects/deals/batch/read"}, "times": 1})
	records, err := s.conn.Source.Fetch(t.Context(), "deal", []string{other, w.deal})
	if fault.KindOf(err) != fault.Transient || records != nil {
		t.Errorf("a batch that failed in part gave %v, %v", records, err)
	}
	s.control("faults", map[string]any{"effect": "partial_batch", "match": map[string]any{"path": "/crm/v4/**"}, "times": 1})
	third := s.create("deals", props{"dealname": "y"})
	if _, err := s.conn.Source.Fetch(t.Context(), "deal", []string{other, third}); fault.KindOf(err) != fault.Transient {
		t.Errorf("associations that failed in part: %v", err)
	}
}

func TestTheHashCoversWhatCounts(t *testing.T) {
	s := newStage(t, map[string]string{"properties_of_deal": "po_number"})
	w := s.world()
	s.call("POST", "/crm/v3/properties/deals", props{"name": "po_number", "label": "PO", "type": "string", "fieldType": "text", "groupName": "dealinformation"})
	if err := s.conn.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	hash := func() string { return s.fetch("deal", w.deal).Hash }
	first := hash()
	for name, step := range map[string]struct {
		do   func()
		same bool
	}{
		"marker":           {func() { s.change("deals", w.deal, props{"tieout_invoice_number": "1001"}) }, true},
		"owner":            {func() { s.change("deals", w.deal, props{"hubspot_owner_id": "9"}) }, true},
		"customer renamed": {func() { s.change("companies", w.company, props{"name": "Acme Ltd"}) }, true},
		"name":             {func() { s.change("deals", w.deal, props{"dealname": "2nd"}) }, false},
		"line":             {func() { s.change("line_items", w.line, props{"description": "new"}) }, false},
		"own property":     {func() { s.change("deals", w.deal, props{"po_number": "4711"}) }, false},
		"another company":  {func() { s.associate(w.deal, s.create("companies", props{"name": "B"}), 341) }, false},
	} {
		step.do()
		next := hash()
		if (next == first) != step.same {
			t.Errorf("%s: same hash %v", name, next == first)
		}
		first = next
	}
}

// associate adds a company to a deal.
func (s *stage) associate(deal, company string, typeID int) {
	s.t.Helper()
	s.call("POST", "/crm/v4/associations/deals/companies/batch/create", map[string]any{"inputs": []any{map[string]any{
		"from": map[string]string{"id": deal}, "to": map[string]string{"id": company},
		"types": []any{map[string]any{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": typeID}},
	}}})
}

// changes drains a poll.
func (s *stage) changes(typ, since string) (ids []string, cursor string) {
	s.t.Helper()
	cursor = since
	for c, err := range s.conn.Source.Changes(s.t.Context(), typ, since) {
		if err != nil {
			s.t.Fatal(err)
		}
		ids, cursor = append(ids, c.Ref.ID), c.Cursor
	}
	return ids, cursor
}

func TestChangesFollowTheCursorAndOverlap(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	ids, cursor := s.changes("deal", "")
	if !slices.Contains(ids, w.deal) {
		t.Fatalf("just made, not seen: %v", ids)
	}
	s.clock.move(4 * time.Minute)
	if ids, cursor = s.changes("deal", cursor); !slices.Contains(ids, w.deal) {
		t.Errorf("no overlap: %v", ids)
	}
	s.clock.move(4 * time.Minute)
	_, cursor = s.changes("deal", cursor)
	s.clock.move(time.Hour)
	late := s.create("deals", props{"dealname": "later"})
	if ids, cursor = s.changes("deal", cursor); !slices.Equal(ids, []string{late}) {
		t.Fatalf("want the later change alone: %v", ids)
	}
	if again, _ := s.changes("deal", cursor); !slices.Equal(again, ids) {
		t.Errorf("a change of this minute: %v", again)
	}
}

// A run that breaks off has a cursor that loses nothing.
func TestAnyCursorOfARunIsGood(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	s.clock.move(time.Second)
	other := s.create("deals", props{"dealname": "other"})
	for c, err := range s.conn.Source.Changes(t.Context(), "deal", "") {
		if err != nil {
			t.Fatal(err)
		}
		s.clock.move(time.Hour)
		ids, _ := s.changes("deal", c.Cursor)
		if !slices.Contains(ids, other) || !slices.Contains(ids, w.deal) {
			t.Errorf("after %s: %v", c.Ref, ids)
		}
		break
	}
}

func TestALaggingIndexLosesNothing(t *testing.T) {
	s := newStage(t, nil)
	s.control("settings", map[string]any{"search_lag": "60s"})
	first := s.create("deals", props{"dealname": "a"})
	s.clock.move(2 * time.Minute)
	_, cursor := s.changes("deal", "")
	hidden := s.create("deals", props{"dealname": "b"})
	ids, cursor := s.changes("deal", cursor)
	if slices.Contains(ids, hidden) || !slices.Contains(ids, first) {
		t.Fatalf("the sandbox's index does not lag: %v", ids)
	}
	s.clock.move(61 * time.Second)
	if ids, _ = s.changes("deal", cursor); !slices.Contains(ids, hidden) {
		t.Errorf("a late entry was lost: %v", ids)
	}
}

func TestAChangedLineItemNamesItsDeal(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	_, cursor := s.changes("deal", "")
	for range 2 {
		s.clock.move(4 * time.Minute)
		_, cursor = s.changes("deal", cursor)
	}
	s.clock.move(time.Hour)
	s.change("line_items", w.line, props{"description": "only words"})
	s.create("line_items", props{"name": "of no deal"})
	if ids, _ := s.changes("deal", cursor); !slices.Equal(ids, []string{w.deal}) {
		t.Errorf("%v, want the deal %s", ids, w.deal)
	}
	if r := s.fetch("line_item", w.line); r.Ref != s.ref("deal", w.deal) {
		t.Errorf("the line item is answered by %s", r.Ref)
	}
}

// A changed line names its deal once to a reader that keeps what it is told, and
// again to one that comes back with an older cursor, or when it has no deal yet.
func TestAChangedLineNamesItsDealOnce(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	_, first := s.changes("deal", "")
	s.clock.move(10 * time.Minute) // the deal itself is out of the overlap
	_, first = s.changes("deal", first)
	s.change("line_items", w.line, props{"description": "only words"})
	late := s.create("line_items", props{"name": "of no deal yet"})
	ids, _ := s.changes("deal", first)
	if !slices.Equal(ids, []string{w.deal}) {
		t.Fatalf("%v, want the deal", ids)
	}
	if ids, _ := s.changes("deal", first); !slices.Equal(ids, []string{w.deal}) {
		t.Errorf("to whoever did not keep it: %v, want the deal again", ids)
	}
	_, second := s.changes("deal", first)
	s.changes("company", "") // another type's run between them
	if ids, second = s.changes("deal", second); len(ids) != 1 || ids[0] != "" {
		t.Errorf("once it is kept: %v", ids)
	}
	s.call("POST", "/crm/v4/associations/line_items/deals/batch/create", map[string]any{"inputs": []any{map[string]any{
		"from": map[string]string{"id": late}, "to": map[string]string{"id": w.deal},
		"types": []any{map[string]any{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 20}},
	}}})
	if ids, _ = s.changes("deal", second); !slices.Contains(ids, w.deal) {
		t.Errorf("a line that got its deal late: %v", ids)
	}
}

// An import changes more objects in one millisecond than a page of a search holds.
func TestMoreThanAPageInOneMoment(t *testing.T) {
	s := newStage(t, nil)
	var want []string
	for range 5 {
		var inputs []any
		for range 100 {
			inputs = append(inputs, map[string]any{"properties": props{"dealname": "imported"}})
		}
		for _, o := range s.call("POST", "/crm/v3/objects/deals/batch/create", map[string]any{"inputs": inputs})["results"].([]any) {
			want = append(want, text(o, "id"))
		}
	}
	s.clock.move(time.Second)
	want = append(want, s.create("deals", props{"dealname": "after"}))
	ids, _ := s.changes("deal", "")
	slices.Sort(ids)
	slices.Sort(want)
	if !slices.Equal(slices.Compact(ids), want) {
		t.Errorf("%d of %d seen", len(slices.Compact(ids)), len(want))
	}
	n := 0
	for ref, err := range s.conn.Source.List(t.Context(), "deal") {
		if err != nil || ref.Type != "deal" {
			t.Fatal(ref, err)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("list has %d of %d", n, len(want))
	}
	drill.Injected(t, int64(len(want)-1), 91)
}

// A listing of many pages keeps to what HubSpot allows its search in a second.
func TestALongListingKeepsToTheSearchsLimit(t *testing.T) {
	s := newStage(t, nil)
	const n = 1500
	for range n / 100 {
		var inputs []any
		for range 100 {
			inputs = append(inputs, map[string]any{"properties": props{"dealname": "imported"}})
		}
		s.call("POST", "/crm/v3/objects/deals/batch/create", map[string]any{"inputs": inputs})
		s.clock.move(time.Second)
	}
	s.control("settings", map[string]any{"limits": map[string]int{"ten_secondly_rolling": 0, "secondly": 5}})
	defer s.clock.run(50 * time.Millisecond)()
	began := len(s.requests())
	ids, _ := s.changes("deal", "")
	slices.Sort(ids)
	if got, searches := len(slices.Compact(ids)), len(s.requests())-began; got != n || searches <= 5 {
		t.Errorf("%d of %d seen by %d searches", got, n, searches)
	}
}

func TestACursorOfAnotherShapeIsRefused(t *testing.T) {
	s := newStage(t, nil)
	for _, bad := range []string{"yesterday", "2026-11-24T12:00:00.000Z/1"} {
		for _, err := range s.conn.Source.Changes(t.Context(), "deal", bad) {
			if fault.KindOf(err) != fault.Internal {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	drill.Injected(t, 2, 92)
}

func TestAReadIsSentAgainWithAFreshToken(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	s.tokens.now = "pat-eu1-old"
	if r := s.fetch("company", w.company); r.Ref.ID != w.company || s.tokens.refused != 1 {
		t.Errorf("%+v after %d refreshes", r, s.tokens.refused)
	}
	s.tokens.now, s.tokens.next = "pat-eu1-old", "pat-eu1-older"
	before := len(s.requests())
	_, err := s.conn.Source.Fetch(t.Context(), "company", []string{w.company})
	if fault.KindOf(err) != fault.Unauthorized || len(s.requests())-before != 2 {
		t.Errorf("%v after %d requests", err, len(s.requests())-before)
	}
}

func TestRefreshTokenGivesAGrant(t *testing.T) {
	s := newStage(t, nil)
	g, err := s.conn.RefreshToken(t.Context(), s.portal.RefreshToken)
	if err != nil || !g.Expires.Equal(s.clock.Now().Add(30*time.Minute)) || g.Refresh.Reveal() != s.portal.RefreshToken {
		t.Fatalf("%v %v", g, err)
	}
	s.tokens.now = g.Access.Reveal()
	if _, err := s.conn.Source.Fetch(t.Context(), "deal", []string{"1"}); err != nil || s.tokens.refused != 0 {
		t.Errorf("the token does not work: %v", err)
	}
	if _, err := s.conn.RefreshToken(t.Context(), "another"); fault.KindOf(err) != fault.Unauthorized {
		t.Errorf("another refresh token: %v", err)
	}
}

func TestAnswersAreRefused(t *testing.T) {
	s := newStage(t, nil)
	w := s.world()
	for effect, want := range map[string]fault.Kind{"truncate": fault.Transient, "corrupt": fault.Transient, "reset_before": fault.Transient, "throttle": fault.RateLimited} {
		s.control("faults", map[string]any{"effect": effect, "times": 1})
		if _, err := s.conn.Source.Fetch(t.Context(), "deal", []string{w.deal}); fault.KindOf(err) != want {
			t.Errorf("%s: %v", effect, err)
		}
	}
	big := roundTrip(func(r *http.Request) *http.Response {
		return respond(http.StatusOK, strings.NewReader(`{"results":["`+strings.Repeat("x", answerMax)+`"]}`))
	})
	if _, err := with(t, big).Source.Fetch(t.Context(), "deal", []string{"1"}); fault.KindOf(err) != fault.Internal {
		t.Errorf("oversize: %v", err)
	}
	twice := roundTrip(func(r *http.Request) *http.Response {
		return respond(http.StatusOK, strings.NewReader(`{"results":[],"results":[]}`))
	})
	if _, err := with(t, twice).Source.Fetch(t.Context(), "deal", []string{"1"}); fault.KindOf(err) != fault.Internal {
		t.Errorf("duplicate keys: %v", err)
	}
	silent := roundTrip(func(r *http.Request) *http.Response {
		return respond(http.StatusOK, strings.NewReader(`{"results":[]}`))
	})
	if _, err := with(t, silent).Source.Fetch(t.Context(), "deal", []string{"1"}); fault.KindOf(err) != fault.Transient {
		t.Errorf("an id that is neither there nor missing: %v", err)
	}
	drill.Injected(t, s.hits(), 73)
	drill.Injected(t, 1, 74) // one answer of more than answerMax
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	good := connector.Config{Account: "hubspot/1", Tokens: &tokens{}}
	for name, cfg := range map[string]connector.Config{
		"account":  {Account: "quickbooks/1", Tokens: &tokens{}},
		"http":     {Account: "hubspot/1", Tokens: &tokens{}, BaseURL: "http://api.hubapi.com"},
		"tokens":   {Account: "hubspot/1"},
		"duration": {Account: "hubspot/1", Tokens: &tokens{}, Settings: map[string]string{"guard": "soon"}},
		"property": {Account: "hubspot/1", Tokens: &tokens{}, Settings: map[string]string{"properties_of_deal": "tieout_invoice_id"}},
	} {
		if _, err := Open(cfg); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	conn, err := Open(good)
	if err != nil || conn.Webhook != nil || conn.Claims.Q() <= 0 {
		t.Fatalf("%+v %v", conn, err)
	}
	if page := conn.Page(eventRef{System: "hubspot", Account: "1", Type: "deal", ID: "7"}); page != "https://app.hubspot.com/contacts/1/record/0-3/7" {
		t.Errorf("page %s", page)
	}
}
