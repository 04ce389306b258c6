package sandbox

import (
	"math/big"
	"net/url"
	"time"
)

// rateID is the object of a currency's rate on a day.
func rateID(currency, day string) string { return currency + "-" + day }

// exchange is home currency per one of the other on a day.
func (x *call) exchange(currency, day string) *big.Rat {
	if currency == x.preset.Currency {
		return big.NewRat(1, 1)
	}
	if o := x.tx.Get("exchangerate", rateID(currency, day)); o != nil {
		return stored(x.tx.Data(o), "Rate")
	}
	r, ok := new(big.Rat).SetString(x.preset.Rates[currency])
	if !ok {
		return big.NewRat(1, 1)
	}
	return r
}

// rate answers GET exchangerate.
func (x *call) rate(q url.Values) (fields, error) {
	currency, day := q.Get("sourcecurrencycode"), q.Get("asofdate")
	if day == "" {
		day = x.tx.Now().Format(time.DateOnly)
	}
	switch {
	case currency == "":
		return nil, missing("sourcecurrencycode")
	case x.preset.Currencies[currency] == "":
		return nil, badRef("Currency", "sourcecurrencycode", currency)
	case !isDate(day):
		return nil, invalidProperty("asofdate")
	}
	if o := x.tx.Get("exchangerate", rateID(currency, day)); o != nil {
		return fields{"ExchangeRate": x.tx.Data(o)}, nil
	}
	return fields{"ExchangeRate": x.rateOf(currency, day, x.exchange(currency, day))}, nil
}

func (x *call) rateOf(currency, day string, r *big.Rat) fields {
	return fields{"SourceCurrencyCode": currency, "TargetCurrencyCode": x.preset.Currency, "Rate": num(r), "AsOfDate": day,
		"SyncToken": "0", "domain": "QBO", "sparse": false, "MetaData": fields{"LastUpdatedTime": stamp(x.tx.Now())}}
}

// setRate answers POST exchangerate.
func (x *call) setRate(sent fields) (fields, error) {
	currency, day := text(sent, "SourceCurrencyCode"), text(sent, "AsOfDate")
	r, ok, err := decimal(sent, "Rate")
	switch {
	case err != nil:
		return nil, err
	case !ok || r.Sign() <= 0:
		return nil, missing("Rate")
	case x.preset.Currencies[currency] == "" || currency == x.preset.Currency:
		return nil, badRef("Currency", "SourceCurrencyCode", currency)
	case !isDate(day):
		return nil, invalidProperty("AsOfDate")
	}
	data := x.rateOf(currency, day, r)
	x.tx.Put("exchangerate", rateID(currency, day), data)
	return fields{"ExchangeRate": data}, nil
}
