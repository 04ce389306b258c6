package lab

// site is one target: the books there, what the writer's database holds of them,
// the renderings for them and the processes that may own them. Sites share the
// source, ingest, the writer's database and time.
type site struct {
	*world
	no      int
	account string
	target  string

	bus   bus
	db    *tables
	books *books
	procs []*process // the same ones at every site, by number
	owner *process   // whom the broker assigned the target to
}

// booksSystem is what all sites are.
const booksSystem = "books"

func (w *world) addSite() {
	no := len(w.sites)
	s := &site{world: w, no: no, account: itoa(int64(no + 1))}
	s.target = booksSystem + "/" + s.account
	s.bus.w = s
	s.db = newTables(s)
	s.books = newBooks(s)
	for i := range 2 {
		s.procs = append(s.procs, &process{w: s, no: i, id: "p" + itoa(int64(i))})
	}
	w.sites = append(w.sites, s)
}

// some is one of the sites.
func (w *world) some() *site {
	if len(w.sites) == 1 {
		return w.sites[0]
	}
	return w.sites[w.n(len(w.sites))]
}

// at is something that happens at one of the sites.
func (w *world) at(do func(*site)) func() { return func() { do(w.some()) } }

// each does something at every site, in their order.
func (w *world) each(do func(*site)) {
	for _, s := range w.sites {
		do(s)
	}
}
