package lab

// micros is virtual time in µs.
type micros = int64

// Spans of virtual time.
const (
	milli  micros = 1000
	second        = 1000 * milli
	minute        = 60 * second
	hour          = 60 * minute
)

// due is something that happens at a moment. Equal moments keep the order in
// which they were asked for, so a schedule has one history.
type due struct {
	at micros
	no int
	do func()
	// of a process: it happens in this life of it, once it is not frozen; a turn
	// if nothing else is to be done, unless another one was planned since
	of   *process
	life int
	turn micros
}

// queue is a binary heap of what is due.
type queue struct {
	items []due
	no    int
}

func (q *queue) add(d due) {
	q.no++
	d.no = q.no
	q.items = append(q.items, d)
	for i := len(q.items) - 1; i > 0; {
		up := (i - 1) / 2
		if !q.items[i].before(&q.items[up]) {
			break
		}
		q.items[i], q.items[up] = q.items[up], q.items[i]
		i = up
	}
}

func (d *due) before(x *due) bool { return d.at < x.at || d.at == x.at && d.no < x.no }

// next takes what is due first.
func (q *queue) next() due {
	first, last := q.items[0], len(q.items)-1
	q.items[0] = q.items[last]
	q.items[last] = due{}
	q.items = q.items[:last]
	for i := 0; ; {
		down := 2*i + 1
		if down+1 < last && q.items[down+1].before(&q.items[down]) {
			down++
		}
		if down >= last || !q.items[down].before(&q.items[i]) {
			return first
		}
		q.items[i], q.items[down] = q.items[down], q.items[i]
		i = down
	}
}
