package sandbox

// requestsMax bounds the log in memory; the oldest half is dropped beyond it.
const requestsMax = 1 << 20

// Record is what the log says of one request.
type Record struct {
	N       int64    `json:"n"`
	At      Time     `json:"at"`
	Done    *Time    `json:"done"` // null while it hangs
	App     string   `json:"app"`
	Method  string   `json:"method"`
	Path    string   `json:"path"`
	Query   string   `json:"query"`
	Key     string   `json:"key"`
	Bytes   int      `json:"bytes"`
	Status  int      `json:"status"` // 0: no answer
	Fault   string   `json:"fault"`
	Effects []string `json:"effects"`
}

// requestLog is every request that arrived, in order.
type requestLog struct {
	records []*Record
	byN     map[int64]*Record
}

func newRequestLog() requestLog { return requestLog{byN: map[int64]*Record{}} }

// add appends a record, or completes the one of the same number: a late commit.
func (l *requestLog) add(r *Record) {
	if old := l.byN[r.N]; old != nil {
		*old = *r
		return
	}
	if len(l.records) >= requestsMax {
		half := len(l.records) / 2
		for _, old := range l.records[:half] {
			delete(l.byN, old.N)
		}
		l.records = append([]*Record(nil), l.records[half:]...)
	}
	l.records = append(l.records, r)
	l.byN[r.N] = r
}

// since copies the records after n.
func (l *requestLog) since(n int64) []Record {
	out := []Record{}
	for _, r := range l.records {
		if r.N > n {
			out = append(out, *r)
		}
	}
	return out
}

func (l *requestLog) last() int64 {
	if len(l.records) == 0 {
		return 0
	}
	return l.records[len(l.records)-1].N
}
