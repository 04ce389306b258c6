package verify

// offsetsTrue: a row that says how far a consumer has come is within its log,
// is about that very topic, and is not behind what the group told Kafka.
func (s *State) offsetsTrue() *Result {
	r := result("I7", "offsets: each row is within its log and not behind what Kafka was told")
	if s.Logs == nil {
		r.violated("the broker does not answer, so that no row could be compared")
		return r
	}
	for service, x := range s.Services {
		for p, row := range x.Offsets {
			r.Checked["rows"]++
			log, ok := s.Logs[p]
			switch {
			case !ok:
				r.violated("%s: its row of %s/%d is about a log that is not there", service, p.Topic, p.ID)
			case row.TopicID != log.TopicID:
				r.violated("%s: its row of %s/%d is about another topic of that name", service, p.Topic, p.ID)
			case row.Next > log.End || row.Next < log.Start:
				r.violated("%s: its row of %s/%d stands at %d, the log is [%d, %d)", service, p.Topic, p.ID, row.Next, log.Start, log.End)
			case row.Group > row.Next:
				r.violated("%s: its row of %s/%d stands at %d, its group told Kafka %d", service, p.Topic, p.ID, row.Next, row.Group)
			}
		}
	}
	return r
}

// atRest: nothing moves and nothing is owed but what is held for a person.
func (s *State) atRest() *Result {
	r := result("I8", "settled: nothing is unread, unsent or unsettled but what is held")
	owed := func(n int64, format string, args ...any) {
		if n > 0 {
			s.underWay(r, format, append([]any{n}, args...)...)
		}
	}
	owed(s.Ingest.Due, "%d records are to be read")
	var events, slots int64
	for i := range s.Ingest.Events {
		if !s.Ingest.Events[i].Published {
			events++
		}
	}
	owed(events, "%d events are not published")
	for p, slot := range s.Writer.Slots {
		r.Checked["slots"]++
		if slot.State == "queued" && !s.held(p) {
			slots++
		}
	}
	owed(slots, "%d slots are to be worked off")
	owed(s.Writer.Unsettled, "%d calls are not settled")
	for service, x := range s.Services {
		owed(x.Unpublished, "%d messages of %s are not published", service)
		for p, row := range x.Offsets {
			if log, ok := s.Logs[p]; ok && row.Next < log.End {
				owed(log.End-row.Next, "%d records of %s/%d are not read by %s", p.Topic, p.ID, service)
			}
		}
	}
	for target, why := range s.Writer.Paused {
		r.violated("target %s is paused: %s", target, why)
	}
	r.Checked["open exceptions"] = s.Writer.Exceptions + int64(len(s.Ingest.Raised))
	return r
}

// nextStart is what is said of things that were under way when a stack stopped.
const nextStart = "under way when it was stopped"

// underWay notes what is not done yet. Of a stack that was stopped while
// something was under way that is no violation: the next start goes on with it.
func (s *State) underWay(r *Result, format string, args ...any) {
	if !s.Running && s.moving() {
		r.Explained[nextStart]++
		return
	}
	r.violated(format, args...)
}

// moving tells whether anything is unsent, unread or unsettled: then what is
// missing somewhere may be on its way.
func (s *State) moving() bool {
	if s.Writer.Unsettled > 0 || s.Ingest.Due > 0 {
		return true
	}
	for _, x := range s.Services {
		for p, row := range x.Offsets {
			if log, ok := s.Logs[p]; ok && row.Next < log.End {
				return true
			}
		}
		if x.Unpublished > 0 {
			return true
		}
	}
	for p, slot := range s.Writer.Slots {
		if slot.State == "queued" && !s.held(p) {
			return true
		}
	}
	for i := range s.Ingest.Events {
		if !s.Ingest.Events[i].Published {
			return true
		}
	}
	return false
}
