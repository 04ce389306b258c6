package sandbox

// numberFact finds the transaction of a kind with a number.
func numberFact(f form, number string) string { return "unique/docnumber/" + string(f) + "/" + number }

// checkNumber gives the transaction its number, or takes the client's if no
// other of its kind has it.
func (x *call) checkNumber(f form, id string, was, now fields) error {
	number := text(now, "DocNumber")
	if err := within(now, "DocNumber", 21); err != nil {
		return err
	}
	generate := number == "" && !x.c.settings.CustomTxnNumbers || number == "AUTO_GENERATE"
	switch {
	case generate:
		for number = x.tx.NextID("docnumber"); x.tx.Fact(numberFact(f, number)) != ""; {
			number = x.tx.NextID("docnumber")
		}
		now["DocNumber"] = number
	case number == "":
		delete(now, "DocNumber")
	}
	if was != nil {
		x.freeNumber(f, id, was)
	}
	if number == "" {
		return nil
	}
	owner := x.tx.Fact(numberFact(f, number))
	if owner != "" && owner != id && x.c.settings.WarnDuplicateNumbers && !x.allowDuplicate {
		return duplicateNumber(string(f), number)
	}
	if owner == "" {
		x.tx.SetFact(numberFact(f, number), id)
	}
	return nil
}

func (x *call) freeNumber(f form, id string, was fields) {
	if number := text(was, "DocNumber"); x.tx.Fact(numberFact(f, number)) == id {
		x.tx.SetFact(numberFact(f, number), "")
	}
}
