package verify

// trailWhole: no stream of facts has a gap in the audit, none ends early, and
// each effect has its intent and its outcome there.
func (s *State) trailWhole() *Result {
	r := result("I4", "trail whole: no gap in any stream, an intent and an outcome for each op")
	for stream, have := range s.Audit.Streams {
		r.Checked["streams"]++
		r.Checked["facts"] += have.Count
		if have.First != 1 || have.Count != have.Last {
			r.violated("stream %s/%d has %d facts from %d to %d", stream.Name, stream.Incarnation, have.Count, have.First, have.Last)
		}
	}
	for service, x := range s.Services {
		if service == "audit" { // its own streams are the public ones
			continue
		}
		for stream, last := range x.Streams {
			if have := s.Audit.Streams[stream]; last > 0 && have.Last != last {
				s.underWay(r, "stream %s/%d: %s told %d facts, the audit has %d", stream.Name, stream.Incarnation, service, last, have.Last)
			}
		}
	}
	for _, op := range s.Writer.Ops {
		if op.State != "done" {
			continue
		}
		r.Checked["ops"]++
		switch sent, settled := s.Audit.Sent[op.ID], s.Audit.Settled[op.ID]; {
		case sent == 0:
			s.underWay(r, "op %s (%s of %s) is done and the audit has no intent of it", op.ID, op.Effect, op.Subject)
		case settled == 0:
			s.underWay(r, "op %s (%s of %s) is done and the audit has no outcome of it", op.ID, op.Effect, op.Subject)
		case settled > 1:
			r.violated("op %s (%s of %s) is done and the audit has %d outcomes of it", op.ID, op.Effect, op.Subject, settled)
		}
	}
	return r
}
