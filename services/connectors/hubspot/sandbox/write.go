package sandbox

import (
	"maps"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"

	engine "tieout.dev/services/internal/sandbox"
)

// write applies properties to a record, new or read, and saves it, or says why
// not. Nothing is written when it refuses.
func (v *vendor) write(tx *engine.Tx, r *record, props map[string]string) *problem {
	before := maps.Clone(r.props)
	values, p := v.normalise(tx, r.kind, props)
	if p != nil {
		return p
	}
	for name, value := range values {
		r.set(name, value)
	}
	if p := v.complete(tx, r, before, values); p != nil {
		return p
	}
	if p := v.claim(tx, r, before); p != nil {
		return p
	}
	r.save(tx)
	v.rollOwners(tx, r)
	return nil
}

// normalise checks every property and answers all faults at once.
func (v *vendor) normalise(tx *engine.Tx, k *kind, props map[string]string) (map[string]string, *problem) {
	var faults []propertyFault
	values := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(props)) {
		value, fault := v.check(tx, k, name, props[name])
		if fault != nil {
			faults = append(faults, *fault)
			continue
		}
		values[name] = value
	}
	if len(faults) > 0 {
		return nil, v.invalidProperties(faults...)
	}
	return values, nil
}

func (v *vendor) check(tx *engine.Tx, k *kind, name, value string) (string, *propertyFault) {
	d := v.definition(tx, k, name)
	if d == nil {
		f := badProperty(name, "PROPERTY_DOESNT_EXIST", "Property %q does not exist", name)
		return "", &f
	}
	if d.ReadOnly {
		f := badProperty(name, "READ_ONLY_VALUE", "%q is a read only property; its value cannot be set.", name)
		return "", &f
	}
	return d.normal(value)
}

// complete sets what the portal computes for the kind.
func (v *vendor) complete(tx *engine.Tx, r *record, before, given map[string]string) *problem {
	switch r.kind.name {
	case "deal":
		return v.completeDeal(tx, r, before, given)
	case "line_item":
		v.completeLine(tx, r, len(before) <= 1)
	case "contact":
		r.set("email", strings.ToLower(r.props["email"]))
	}
	return nil
}

// completeDeal checks the stage against its pipeline and derives everything
// that follows from the stage's metadata. Won is what the metadata says, never
// the stage's id.
func (v *vendor) completeDeal(tx *engine.Tx, r *record, before, given map[string]string) *problem {
	if r.props["pipeline"] == "" {
		r.set("pipeline", defaultPipeline)
	}
	p := pipelineOf(tx, r.props["pipeline"])
	if p == nil {
		return v.invalidProperties(badProperty("pipeline", "INVALID_OPTION", "%s was not one of the allowed options: %v", r.props["pipeline"], pipelineIDs(tx)))
	}
	s, ok := p.stage(r.props["dealstage"])
	if r.props["dealstage"] != "" && !ok {
		return v.invalidProperties(badProperty("dealstage", "INVALID_OPTION", "%s was not one of the allowed options: %v", r.props["dealstage"], p.stageIDs()))
	}
	if r.props["deal_currency_code"] == "" {
		r.set("deal_currency_code", homeCurrency)
	}
	r.set("hs_is_closed", strconv.FormatBool(s.closed()))
	r.set("hs_is_closed_won", strconv.FormatBool(s.won()))
	r.set("hs_is_closed_lost", strconv.FormatBool(s.closed() && !s.won()))
	r.set("hs_deal_stage_probability", s.Metadata["probability"])
	closeDeal(tx, r, before["hs_is_closed"] == "true", before["hs_is_closed_won"] == "true", given)
	return nil
}

// closeDeal dates a deal that was just closed, unless the request dates it.
func closeDeal(tx *engine.Tx, r *record, wasClosed, wasWon bool, given map[string]string) {
	if _, dated := given["closedate"]; !dated && !wasClosed && r.props["hs_is_closed"] == "true" {
		r.set("closedate", stamp(tx.Now()))
	}
	switch {
	case r.props["hs_is_closed_won"] != "true":
		r.set("hs_closed_won_date", "")
	case !wasWon:
		r.set("hs_closed_won_date", stamp(tx.Now()))
	}
}

// completeLine copies the product's values into a new line and computes the
// line's amounts: a discount is an amount per unit, a percentage is of the line.
func (v *vendor) completeLine(tx *engine.Tx, r *record, isNew bool) {
	if product := live(tx, v.catalogue.kind("product"), r.props["hs_product_id"]); isNew && product != nil {
		for i := range r.kind.builtin {
			if d := &r.kind.builtin[i]; d.Copied && r.props[d.Name] == "" {
				r.set(d.Name, product.props[d.Name])
			}
		}
	}
	if r.props["price"] == "" {
		return
	}
	if r.props["quantity"] == "" {
		r.set("quantity", "1")
	}
	before, off := lineAmounts(r)
	places := digits(r.props["hs_line_item_currency_code"])
	r.set("hs_pre_discount_amount", plain(before, places))
	r.set("hs_total_discount", plain(off, places))
	r.set("amount", plain(new(big.Rat).Sub(before, off), places))
}

func lineAmounts(r *record) (before, off *big.Rat) {
	quantity := decimal(r.props["quantity"])
	before = new(big.Rat).Mul(quantity, decimal(r.props["price"]))
	if percent := r.props["hs_discount_percentage"]; percent != "" {
		off = new(big.Rat).Mul(before, decimal(percent))
		return before, off.Quo(off, big.NewRat(100, 1))
	}
	return before, new(big.Rat).Mul(quantity, decimal(r.props["discount"]))
}

// claim keeps unique values unique: the e-mail of contacts, and properties
// made with hasUniqueValue.
func (v *vendor) claim(tx *engine.Tx, r *record, before map[string]string) *problem {
	for _, d := range v.definitions(tx, r.kind) {
		was, is := before[d.Name], r.props[d.Name]
		if !d.Unique || was == is {
			continue
		}
		if holder := tx.Fact(uniqueKey(r.kind, d.Name, is)); is != "" && holder != "" && holder != r.id {
			return v.taken(r.kind, d.Name, is, holder)
		}
		if was != "" {
			tx.SetFact(uniqueKey(r.kind, d.Name, was), "")
		}
		if is != "" {
			tx.SetFact(uniqueKey(r.kind, d.Name, is), r.id)
		}
	}
	return nil
}

// release gives the record's unique values free.
func (v *vendor) release(tx *engine.Tx, r *record) {
	for _, d := range v.definitions(tx, r.kind) {
		if value := r.props[d.Name]; d.Unique && value != "" {
			tx.SetFact(uniqueKey(r.kind, d.Name, value), "")
		}
	}
}

func (v *vendor) taken(k *kind, name, value, holder string) *problem {
	if k.name == "contact" && name == "email" {
		return conflict("CONFLICT", "Contact already exists. Existing ID: %s", holder)
	}
	p := invalid("Cannot set PropertyValueCoordinates{portalId=%d, objectTypeId=%s, propertyName=%s, value=%s} on %s. %s already has that value.", v.portal, k.typeID, name, value, k.name, holder)
	p.status = http.StatusBadRequest
	return p
}

func uniqueKey(k *kind, name, value string) string {
	return "unique/" + k.name + "/" + name + "/" + strings.ToLower(value)
}
