package bubble

import (
	"fmt"
	"slices"
	"strings"
	"time"

	controlv1 "tieout.dev/proto/control/v1"
)

// trace tells what happened to each deal, and to what was made of it, as the
// audit trail has it: without ids and times, which vary, and service by
// service, since two of them may do something at the same instant.
func (s *story) trace() (string, error) {
	var out strings.Builder
	for _, name := range s.order {
		j, err := s.audit.Journey(s.ctx, &controlv1.JourneyRequest{Id: s.world.Sandboxes["hubspot"].Account + "/deal/" + s.deals[name]})
		if err != nil {
			return "", fmt.Errorf("journey of %s: %w", name, err)
		}
		fmt.Fprintf(&out, "%s\n", name)
		s.steps(&out, j.GetSteps())
	}
	return out.String(), nil
}

// steps are told by record and service; what is the same again is counted.
func (s *story) steps(out *strings.Builder, steps []*controlv1.Step) {
	var records []string
	said := map[string][]string{}
	for _, x := range steps {
		if x.GetService() == "audit" { // how many facts it has is no news
			continue
		}
		record := s.record(x.GetRef())
		key := record + " " + x.GetService()
		if !slices.Contains(records, record) {
			records = append(records, record)
		}
		said[key] = append(said[key], strings.TrimSpace(fmt.Sprintf("%s %s %s", x.GetWhat(), x.GetOutcome(), s.plain(x.GetDetail()))))
	}
	slices.Sort(records)
	for _, r := range records {
		for _, service := range []string{"hubspot", "quickbooks", "ingest", "transform", "writer", "reconciler"} {
			if list := said[r+" "+service]; len(list) > 0 {
				fmt.Fprintf(out, "  %s, %s: %s\n", r, service, strings.Join(counted(list), "; "))
			}
		}
	}
}

// counted writes what follows itself once, with how often.
func counted(list []string) []string {
	var out []string
	for i := 0; i < len(list); {
		width, times := repeat(list[i:])
		text := strings.Join(list[i:i+width], "; ")
		if times > 1 {
			text = fmt.Sprintf("%d × (%s)", times, text)
		}
		out = append(out, text)
		i += width * times
	}
	return out
}

// repeat finds how a list begins: a stretch of up to six, again and again.
func repeat(list []string) (width, times int) {
	width, times = 1, 1
	for w := 1; w <= min(6, len(list)/2); w++ {
		n := 1
		for (n+1)*w <= len(list) && slices.Equal(list[:w], list[n*w:(n+1)*w]) {
			n++
		}
		if n > 1 && n*w > width*times {
			width, times = w, n
		}
	}
	return width, times
}

// record is the story's name of a record, or its type.
func (s *story) record(ref string) string {
	parts := strings.Split(ref, "/")
	if len(parts) != 4 {
		return ref
	}
	return parts[0] + " " + parts[2]
}

// plain takes ids out of what is told in words.
func (s *story) plain(text string) string {
	var out []string
	for _, w := range strings.Fields(text) {
		core := strings.Trim(w, ".,;:()")
		switch {
		case strings.Count(core, "/") == 3:
			w = strings.Replace(w, core, "the "+s.record(core), 1)
		case strings.Contains(w, "http://"):
			w = "the vendor"
		case strings.HasPrefix(core, "TO-"):
			w = strings.Replace(w, core, "its mark", 1)
		}
		out = append(out, w)
	}
	return strings.Join(out, " ")
}

// show tells where everything stands.
func (s *story) show() error {
	in, err := s.ingest.IngestStatus(s.ctx, &controlv1.IngestStatusRequest{})
	if err != nil {
		return err
	}
	w, err := s.writer.WriterStatus(s.ctx, &controlv1.WriterStatusRequest{})
	if err != nil {
		return err
	}
	list, err := s.exceptions()
	if err != nil {
		return err
	}
	books, err := s.invoices()
	if err != nil {
		return err
	}
	s.t.Logf("at %s\ningest %v\nwriter %v\nexceptions %v", time.Now().UTC().Format(time.RFC3339), in, w, list)
	for _, v := range books {
		s.t.Logf("invoice %s %s of %s: %s %s", v.DocNumber, v.state(), v.deal(), v.TotalAmt, v.CurrencyRef.Value)
	}
	told, err := s.trace()
	s.t.Log(told)
	return err
}
