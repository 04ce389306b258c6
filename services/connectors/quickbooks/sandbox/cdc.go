package sandbox

import (
	"net/url"
	"strings"
	"time"

	engine "tieout.dev/services/internal/sandbox"
)

// The reach of change data capture.
const (
	cdcReach = 30 * 24 * time.Hour
	cdcMax   = 1000 // objects over all entities asked for
)

// changes answers change data capture. A full answer is incomplete and does
// not say so, as at the vendor.
func (x *call) changes(q url.Values) (fields, error) {
	if q.Get("entities") == "" {
		return nil, missing("entities")
	}
	since, ok := moment(strings.ReplaceAll(q.Get("changedSince"), " ", "+"))
	switch {
	case !ok:
		return nil, invalidProperty("changedSince")
	case x.tx.Now().Sub(since) > cdcReach:
		return nil, business("changedSince is more than 30 days ago")
	}
	left := cdcMax
	answers := []any{}
	for name := range strings.SplitSeq(q.Get("entities"), ",") {
		k := x.c.kinds[strings.ToLower(strings.TrimSpace(name))]
		if k == nil {
			return nil, badEnum("entities", name)
		}
		list := x.changed(k, since, left)
		left -= len(list)
		answer := fields{}
		if len(list) > 0 {
			answer = fields{k.name: list, "startPosition": 1, "maxResults": len(list)}
		}
		answers = append(answers, answer)
	}
	return fields{"CDCResponse": []any{fields{"QueryResponse": answers}}}, nil
}

func (x *call) changed(k *kind, since time.Time, left int) []any {
	out := []any{}
	x.visible(k.typ(), func(o *engine.Object, v *engine.Version, deleted bool) {
		if v.At.Truncate(time.Second).Before(since) || len(out) >= left {
			return
		}
		data := x.said(o, v)
		if deleted {
			out = append(out, fields{"domain": "QBO", "status": "Deleted", "Id": o.ID, "MetaData": fields{"LastUpdatedTime": text(data, "MetaData", "LastUpdatedTime")}})
			return
		}
		out = append(out, x.present(k, o.ID, data))
	})
	return out
}
