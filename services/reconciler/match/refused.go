package match

// refusals tells of the records that are to be booked, cannot be rendered and
// have nothing in the books: what they come to is not known, that they are is.
func (c *comparison) refusals() {
	booked := map[string]bool{}
	for _, u := range c.units {
		booked[u.ref] = booked[u.ref] || len(u.books) > 0
	}
	for _, s := range c.in.Sources {
		if s.Want == Rejected && s.IssueDate != "" && c.dated(s.IssueDate) && !booked[s.Ref] {
			c.refused(s.Ref)
		}
	}
}

// refused: an open exception explains it, or else that the rules refuse it.
func (c *comparison) refused(ref string) {
	cause := c.in.Open[ref]
	if cause == "" {
		cause = RejectedNow
	}
	nothing := zero("")
	row := c.sums.row(rowKey{kind: invoiceRow})
	row.source.add(c.sums, nothing.net, nothing.gross, false)
	row.cause(cause).add(c.sums, nothing.net, nothing.gross, false)
	c.breaks = append(c.breaks, Break{
		ID: BreakID(Missing, c.in.Entity, ref, "", c.in.Period), Entity: c.in.Entity, Target: c.in.Target, Kind: Missing, Cause: cause,
		SourceRef: ref, State: Settled, Repair: repair(Missing, cause),
	})
}
