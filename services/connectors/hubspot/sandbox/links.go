package sandbox

import (
	"math/big"
	"strconv"
	"strings"

	engine "tieout.dev/services/internal/sandbox"
)

// relation is how two kinds of objects may be associated, seen from one side.
// A relation with a primary label has two types, and the primary one always
// comes with the plain one.
type relation struct {
	from, to       string
	plain, primary int // HubSpot's association type ids
	flipped        bool
}

func relations() []relation {
	return []relation{
		{from: "deal", to: "company", plain: 341, primary: 5},
		{from: "company", to: "deal", plain: 342, primary: 6, flipped: true},
		{from: "deal", to: "contact", plain: 3},
		{from: "contact", to: "deal", plain: 4, flipped: true},
		{from: "deal", to: "line_item", plain: 19},
		{from: "line_item", to: "deal", plain: 20, flipped: true},
		{from: "contact", to: "company", plain: 279, primary: 1},
		{from: "company", to: "contact", plain: 280, primary: 2, flipped: true},
	}
}

func related(from, to *kind) (relation, bool) {
	for _, r := range relations() {
		if r.from == from.name && r.to == to.name {
			return r, true
		}
	}
	return relation{}, false
}

// types are the type ids an association has, the labelled one first.
func (r relation) types(primary bool) []int {
	if primary && r.primary != 0 {
		return []int{r.primary, r.plain}
	}
	return []int{r.plain}
}

// name is the association's type in v3 answers.
func (r relation) name(typeID int) string {
	name := r.from + "_to_" + r.to
	if r.primary != 0 && typeID == r.plain {
		name += "_unlabeled"
	}
	return name
}

func (r relation) label(typeID int) any {
	if r.primary != 0 && typeID == r.primary {
		return "Primary"
	}
	return nil
}

// key is the association's id in the world, the same from both sides.
func (r relation) key(from, to string) string {
	if r.flipped {
		return r.to + "/" + to + ":" + r.from + "/" + from
	}
	return r.from + "/" + from + ":" + r.to + "/" + to
}

// link is one association seen from one side.
type link struct {
	relation
	to      *record
	primary bool
}

// connect associates two records; types are HubSpot's ids. A new primary takes
// the label from the old one.
func (v *vendor) connect(tx *engine.Tx, from, to *record, types []int) *problem {
	rel, ok := related(from.kind, to.kind)
	if !ok {
		return invalid("Objects of type %s cannot be associated with %s", from.kind.name, to.kind.name)
	}
	primary := false
	for _, t := range types {
		if t != rel.plain && (t != rel.primary || t == 0) {
			return invalid("Association type %d is not valid between %s and %s", t, from.kind.name, to.kind.name)
		}
		primary = primary || t == rel.primary && t != 0
	}
	if primary {
		v.dethrone(tx, rel, from, to)
	}
	join(tx, rel, from, to, primary)
	return nil
}

// dethrone takes the primary label from every other association of the same
// one-primary side: a deal's companies, a contact's companies.
func (v *vendor) dethrone(tx *engine.Tx, rel relation, from, to *record) {
	owner, target := from, to
	if rel.flipped {
		owner, target = to, from
		rel, _ = related(owner.kind, target.kind)
	}
	for _, l := range v.links(tx, owner, target.kind) {
		if l.primary && l.to.id != target.id {
			put(tx, rel, owner.id, l.to.id, false)
		}
	}
}

// join writes the association; one that is primary stays so.
func join(tx *engine.Tx, rel relation, from, to *record, primary bool) {
	o := tx.Get("association", rel.key(from.id, to.id))
	if o == nil {
		enlist(tx, from, to)
		enlist(tx, to, from)
	} else if was := tx.Data(o)["primary"] == true; !o.Deleted {
		if was || !primary {
			return
		}
	}
	put(tx, rel, from.id, to.id, primary)
}

func put(tx *engine.Tx, rel relation, from, to string, primary bool) {
	if rel.flipped {
		from, to, rel.from, rel.to, rel.flipped = to, from, rel.to, rel.from, false
	}
	tx.Put("association", rel.key(from, to), map[string]any{"from": rel.from + "/" + from, "to": rel.to + "/" + to, "primary": primary})
}

// disconnect removes the association and says whether there was one.
func disconnect(tx *engine.Tx, from, to *record) bool {
	rel, ok := related(from.kind, to.kind)
	if !ok {
		return false
	}
	o := tx.Get("association", rel.key(from.id, to.id))
	if o == nil || o.Deleted {
		return false
	}
	tx.Delete("association", o.ID, nil)
	return true
}

// enlist appends to the list of what a record was ever associated with, so
// that its links are found without a scan.
func enlist(tx *engine.Tx, from, to *record) {
	list := listKey(from, to.kind)
	n, _ := strconv.Atoi(tx.Fact(list))
	tx.SetFact(list+"/"+strconv.Itoa(n), to.id)
	tx.SetFact(list, strconv.Itoa(n+1))
}

func listKey(from *record, to *kind) string {
	return "links/" + from.kind.name + "/" + from.id + "/" + to.name
}

// links are the record's present associations with live records of a kind, in
// the order they were first made.
func (v *vendor) links(tx *engine.Tx, from *record, to *kind) []link {
	rel, ok := related(from.kind, to)
	if !ok {
		return nil
	}
	var out []link
	list := listKey(from, to)
	n, _ := strconv.Atoi(tx.Fact(list))
	for i := range n {
		id := tx.Fact(list + "/" + strconv.Itoa(i))
		o := tx.Get("association", rel.key(from.id, id))
		if o == nil || o.Deleted {
			continue
		}
		if r := live(tx, to, id); r != nil && r.id == id {
			out = append(out, link{relation: rel, to: r, primary: tx.Data(o)["primary"] == true})
		}
	}
	return out
}

// roll sets what the portal derives from a record's associations and says
// whether anything changed.
func (v *vendor) roll(tx *engine.Tx, r *record) bool {
	switch r.kind.name {
	case "contact":
		return r.set("associatedcompanyid", primaryOf(v.links(tx, r, v.catalogue.kind("company"))))
	case "deal":
		company := r.set("hs_primary_associated_company", primaryOf(v.links(tx, r, v.catalogue.kind("company"))))
		contacts := r.set("num_associated_contacts", strconv.Itoa(len(v.links(tx, r, v.catalogue.kind("contact")))))
		value := r.set("hs_tcv", v.contractValue(tx, r))
		return company || contacts || value
	}
	return false
}

func primaryOf(links []link) string {
	for _, l := range links {
		if l.primary {
			return l.to.id
		}
	}
	return ""
}

func (v *vendor) contractValue(tx *engine.Tx, deal *record) string {
	sum := new(big.Rat)
	for _, l := range v.links(tx, deal, v.catalogue.kind("line_item")) {
		sum.Add(sum, decimal(l.to.props["amount"]))
	}
	return plain(sum, 4)
}

// touch brings a record's derived properties up to date. It counts as a
// modification only where one of them moved: a renamed line item does not
// touch its deal.
func (v *vendor) touch(tx *engine.Tx, r *record) {
	if now := live(tx, r.kind, r.id); now != nil && v.roll(tx, now) {
		now.save(tx)
	}
}

// touchNeighbours does so for everything the record is associated with.
func (v *vendor) touchNeighbours(tx *engine.Tx, r *record) {
	for _, k := range v.catalogue.kinds {
		for _, l := range v.links(tx, r, k) {
			v.touch(tx, l.to)
		}
	}
}

func splitRef(ref string) (name, id string) {
	name, id, _ = strings.Cut(ref, "/")
	return name, id
}
