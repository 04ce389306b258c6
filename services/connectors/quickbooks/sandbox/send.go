package sandbox

import "strings"

// send is POST invoice/ID/send: the books mail the invoice, to its own address or
// to another one, which it keeps. The request has no body.
func (x *call) send(id, to string) (fields, error) {
	k := x.c.kinds["invoice"]
	o := x.tx.Get(k.typ(), id)
	if o == nil || o.Deleted {
		return nil, inactive()
	}
	now := x.tx.Data(o)
	if to == "" {
		to = text(now, "BillEmail", "Address")
	}
	switch {
	case to == "":
		return nil, missing("BillEmail")
	case !strings.Contains(to, "@"):
		return nil, invalidProperty("sendTo")
	}
	now["BillEmail"] = fields{"Address": to}
	now["EmailStatus"] = "EmailSent"
	now["DeliveryInfo"] = fields{"DeliveryType": "Email", "DeliveryTime": stamp(x.tx.Now())}
	return fields{k.name: x.write(k, id, now)}, nil
}
