package match

// repair says what would put a break right. The reconciler changes nothing: a
// repair is a change of a source, or a person's decision.
func repair(kind Kind, cause string) string {
	switch {
	case kind == Missing && cause == RejectedNow:
		return "Correct the record at the source, or the rule of the mapping that refuses it."
	case kind == Duplicate && cause == SameRecord:
		return "Void the later document in the books, with approval."
	}
	switch cause {
	case "parked":
		return "Settle the open exception of the record."
	case "waiting":
		return "Wait for the record that it depends on."
	case InFlight:
		return "None: it is on its way."
	case NotOurs:
		return "None: it was entered by others."
	case ProbeLeft:
		return "Void it in the books unless a probe of the connection is under way: no record asks for it."
	case GoneUnwanted:
		return "None: neither the source nor the books want it."
	case Removed:
		return "Make the customer active again in the books, or merge it there into the one that stands for it and link that."
	case NeverPosted:
		return "Recheck the source record: it is read and admitted again, and its document made, also if it qualified before the cut-off."
	case Voided, Deleted:
		return "A person removed the document: reissue it with approval, or change the source record."
	case Edited:
		return "Accept the books' version and correct the source, or recheck the source record to write it over."
	case CreditGone:
		return "The invoice that it took back is owed again. Enter the credit note again in the books, or accept it with a reason. It is known by the mark in its memo:"
	case CreditEdited:
		return "Set the credit note right in the books, or accept it with a reason."
	case CreditAlone:
		return "It takes back an invoice that does not stand any more: delete the credit note in the books, or accept it with a reason."
	case SourceChanged:
		return "Recheck the source record: the difference is sent to the books."
	case NotWanted, RejectedNow:
		return "Recheck the source record: its document is voided, or its exception is opened."
	case NoRecord, UnknownMark:
		return "Link the document to its record, void it in the books, or accept it with a reason."
	}
	return "A person must look at both records."
}
