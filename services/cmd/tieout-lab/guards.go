package main

// The files that guards stand in.
const (
	breakerFile   = "writer/protocol/breaker.go"
	answerFile    = "writer/protocol/answer.go"
	doubtFile     = "writer/protocol/doubt.go"
	laneFile      = "writer/protocol/lane.go"
	planFile      = "writer/protocol/plan.go"
	matchFile     = "writer/protocol/match.go"
	waitFile      = "writer/protocol/wait.go"
	commandFile   = "writer/protocol/command.go"
	mergeFile     = "writer/protocol/merge.go"
	tablesFile    = "writer/protocol/tables.go"
	recordFile    = "writer/protocol/record.go"
	protocolFile  = "writer/protocol/protocol.go"
	dispatchFile  = "writer/protocol/dispatch.go"
	leaseFile     = "writer/protocol/lease.go"
	admissionFile = "ingest/admission/admission.go"
)

// mutants are the guards, each taken out alone.
func mutants() []mutant { return append(everyday(), restored()...) }

// everyday are those that hold at any time.
func everyday() []mutant {
	return []mutant{
		{"fence", leaseFile, "return l == row", "return true", "zombies"},
		{"send guard", leaseFile, "return guard <= 0 || waited <= guard", "return true", "zombies"},
		{"quarantine", doubtFile, "return t.v.Mono + t.v.Claims.Q()", "return t.v.Mono + resendAfter", "class-C"},
		{"half key life", doubtFile, "age >= t.v.Claims.KeyLife/2", "age >= 10000*t.v.Claims.KeyLife", "class-A"},
		{"resend only what is protected", doubtFile, "if item.Effect != connector.Create || c.Sends > 1 || !inDoubt {", "if c.Sends > 1 || !inDoubt {", "class-B"},
		{"no further copy once refused", doubtFile, "return open && !t.m.Spent[c.ID]", "return open", "class-A"},
		{"refusal needs the last copy", answerFile, "case c.Sends > 1: // nothing", "case false: // nothing", "class-A"},
		{"not sent is not final after a copy", answerFile, "if c.Sends > 1 { // an earlier", "if false { //", "class-A"},
		{"what is inherited is in doubt", doubtFile, "t.doubt(op, \"taken over from a former owner\")", "t.refuse(op, \"absent\", \"\")", "class-C"},
		{"class D is never resent", doubtFile, "if t.v.Claims.Ambiguity[op.Kind] == connector.Opaque {", "if false {", "class-D"},
		{"a found document carries the mark", doubtFile, "if p.Mark == item.Mark {", "if true {", "merge"},
		{"a void is proven by a void document", doubtFile, "if p.Status == connector.Voided {", "if true {", "class-C"},
		{"an update is proven by its fields", doubtFile, "if sameFields(op.Fields, p.Fields) {", "if true {", "class-C"},
		{"lane hold", laneFile, "case t.openOp(h):\n\t\treturn\n\tcase t.overtaken(h)", "case t.overtaken(h)", "class-D"},
		{"subject hold", laneFile, "if lane, held := t.busy[h.Slot.Subject]; held && lane != h.Lane {", "if false {", "merge"},
		{"revision guard", laneFile, "case t.overtaken(h), t.replaced(h):", "case t.replaced(h):", "kafka"},
		{"vanished part", laneFile, "if l.Live() && !named(r.Parts, l) {", "if l.Live() && !named(r.Parts, l) && false {", "all"},
		{"vanished part is read", tablesFile, "if err := l.part(x.Key); err != nil { // also", "if err := error(nil); err != nil { // also", "all"},
		{"ring", waitFile, "case ring(h.Lane, t.holders(need.Ref), t.waitsFor):", "case false:", "class-B"},
		{"a ring over slots that follow", waitFile, "lanes := slices.Clone(t.followed(lane))", "lanes := slices.Clone([]string(nil))", "merge"},
		{"a name is kept while copies fly", recordFile, "if until := t.nameHeld(l.OtherRef); until > t.v.Now {", "if false {\n\t\tuntil := t.v.Now", "class-B"},
		{"after of merges", laneFile, "case !h.AfterMet:", "case false:", "merge"},
		{"a link shows the effect", commandFile, "why := unproven(op, p)", "why := \"\"", "class-D"},
		{"reissue reads first", commandFile, "a.Err == nil && a.Postings[0].Status == connector.Voided:", "a.Err == nil:", "people"},
		{"discard waits for doubts", commandFile, "func (t *turn) discard(h *Head, c Command) {\n\tif !t.lookFirst(h, c) {\n\t\treturn\n\t}\n\tif t.openOp(h) {", "func (t *turn) discard(h *Head, c Command) {\n\tif !t.lookFirst(h, c) {\n\t\treturn\n\t}\n\tif false {", "class-D"},
		{"requeue waits for doubts", commandFile, "func (t *turn) requeueBy(h *Head, c Command) {\n\tif !t.lookFirst(h, c) {\n\t\treturn\n\t}\n\tif t.openOp(h) {", "func (t *turn) requeueBy(h *Head, c Command) {\n\tif !t.lookFirst(h, c) {\n\t\treturn\n\t}\n\tif false {", "class-D"},
		{"stale read", admissionFile, "case r.No < o.ReadNo, r.Merged", "case r.Merged", "reads"},
		{"a read from before its customer's merge", admissionFile, "r.Merged > 0 && r.No <= r.Merged", "false", "reads"},
		{"a duplicate moves the read number", admissionFile, "o.ReadNo = max(o.ReadNo, r.No)\n\t\to.Version", "o.Version", "reads"},
		{"a person's edit is not overwritten", planFile, "case !sameFields(base, now) && !sameFields(t.modAlias(enc.Fields), now):", "case false:", "people"},
		{"match only never creates", planFile, "if h.Slot.Rendering.MatchOnly {", "if false {", "all"},
		{"update only never creates", planFile, "live == nil && (p.Desired == document.Voided || h.Slot.Rendering.UpdateOnly)", "live == nil && p.Desired == document.Voided", "all"},
		{"superseded unless half done", laneFile, "h.NewerHere && h.AfterMet && !t.hasDone(h)", "h.NewerHere && h.AfterMet", "all"},
		{"a merge moves links", mergeFile, "if l.State == link.Primary && !", "if false && !", "merge"},
		{"a credit note stays with its invoice", mergeFile, "!strings.HasPrefix(l.Part, document.CreditOf)", "l.Part != document.CreditOf", "closed"},
		{"a name is claimed as it leaves", dispatchFile, "\tt.claim(op)\n", "", "alike"},
		{"one create of a name at a time", matchFile, "taken && id != own {", "taken && id != own && false {", "alike"},
		{"another record's customer is not taken", matchFile, "case taken && p.Kind == document.ItemKind:", "case taken:", "merge"},
		{"done moves the link", answerFile, "created := t.putLink(op, p, state)", "created := false", "small"},
		{"shared calls of a turn", dispatchFile, "t.batchSize() > 1 && t.v.Batches > 0", "t.batchSize() > 1", "batch"},
		{"what was written is read again", answerFile, "\tt.forget(op)\n\tt.free(op)", "\tt.free(op)", "class-C"},
		{"the size of a call", dispatchFile, "len(t.batch) >= t.batchSize()", "len(t.batch) >= 100", "batch"},
		{"a batch is no item's fault", answerFile, "f.Field == fault.FieldBatch && c != nil", "false && c != nil", "batch"},
		{"what the books take is learned", dispatchFile, "if t.m.BatchMost > 0 {", "if false {", "batch"},
		{"an op is its last call's alone", doubtFile, "op != nil && op.Call == c.ID {", "op != nil {", "halves"},
		{"a settled item is settled", answerFile, "if op == nil || (op.State != Sent && op.State != Doubt) {", "if op == nil {", "batch"},
		{"a failed look decides nothing", doubtFile, "if answer.Err != nil && fault.KindOf(answer.Err) != fault.NotFound {", "if false && fault.KindOf(answer.Err) != fault.NotFound {", "class-C"},
		{"a part made in this turn counts", answerFile, "if own, read := t.v.Own[l.SourceRef]; read && l.Kind == document.InvoiceKind {", "if own := t.v.Own[l.SourceRef]; false {", "merge"},
		{"the breaker opens", breakerFile, "t.m.Failures >= breakAfter {", "false {", "people"},
		{"probes grow rarer", breakerFile, "t.m.Backoff = min(2*t.m.Backoff, lastProbe)", "", "people"},
		{"an answer resumes", breakerFile, "t.resume()\n\tcase", "case", "people"},
		{"what is known makes no revision", admissionFile, "case same && !forced(r.Cause):", "case same && false:", "reads"},
		{"a paused target is only probed", protocolFile, "case t.v.Paused && !t.probe():", "case false:", "people"},
		{"a throttled target rests", protocolFile, "case t.v.Mono < t.m.HoldUntil:", "case false:", "all"},
		{"a person's hold", protocolFile, "case t.v.HeldBy != \"\":", "case false:", "people"},
		{"the budget of a turn", protocolFile, "case t.budget <= 0, t", "case t", "all"},
		{"the budget of realtime", protocolFile, "t.class == event.Realtime && t.realtime <= 0, ", "", "all"},
		{"the budget of bulk", protocolFile, ", t.class == event.Bulk && t.bulk <= 0:", ":", "all"},
		{"a create under way is shared", planFile, "op != nil && (op.State == Sent || op.State == Doubt) {", "op != nil && false {", "all"},
		{"what is out of use is not linked", matchFile, "case !c.Active:", "case false:", "people"},
		{"another mapping asks before it voids", laneFile, "if l.MappingHash != r.MappingHash {", "if false {", "closed"},
		{"paid or sent is not written over", planFile, "case r.do == person && !agreed:", "case false:", "people"},
		{"paid or sent is not voided", planFile, "case r.do == person:\n\t\treturn t.parkCell(h, l, state(at, cur), why, r)\n\t}\n\treturn t.dispatch(h, p, connector.Void", "}\n\treturn t.dispatch(h, p, connector.Void", "people"},
		{"absent after the quarantine", commandFile, "if op == nil || !t.forPerson(op) {", "if op == nil {", "hasty"},
		{"link after the quarantine", commandFile, "if op != nil && !t.forPerson(op) {", "if false {", "hasty"},
		{"documents of merged records are the survivor's", laneFile, "if t.mergeDocuments(h) != partDone {", "if false {", "merge"},
		{"of several documents a person says which", mergeFile, "if len(standing) > 1 {", "if false {", "merge"},
		{"slots of merged records come first", tablesFile, "return met && len(merged) == 0, held, err", "return met && len(merged) >= 0, held, err", "restore"},
		{"another tax status is asked about", planFile, "r.field != \"\" && t.m.Agreed[h.place()]", "r.field != \"\"", "all"},
		{"only a mark is only a mark", planFile, "len(changes) == 1 && changes[0] == changeNote && t.onlyMark", "len(changes) == 1 && t.onlyMark", "closed"},
		{"what was credited is not owed", answerFile, "if op.Kind == document.CreditNoteKind {", "if false {", "closed"},
		{"a superseded merge moves links", laneFile, "\t\tif h.AfterMet {\n\t\t\tt.merge(h)", "\t\tif false {\n\t\t\tt.merge(h)", "merge"},
		{"an agreement answers one question", laneFile, "\tdelete(t.m.Agreed, h.place())\n\tt.setLane(h, Parked", "\tt.setLane(h, Parked", "closed"},
		{"conflict looks again", answerFile, "\tt.forget(op)\n\th := t.headOf(op)", "\th := t.headOf(op)", "people"},
	}
}
