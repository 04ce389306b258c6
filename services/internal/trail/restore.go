package trail

import (
	"context"
	"time"

	"tieout.dev/services/internal/store"
)

// askFor bounds one question: a consumer that hangs is asked again.
const askFor = 10 * time.Second

// askAgain is how long a consumer that does not answer is left alone.
const askAgain = time.Second

// LookBack asks a consumer of the trail, until it answers, whether it has facts
// of this database's streams that the database does not know: it was set back to
// an older copy. Each failure is told to late. Without a consumer nobody knows.
func LookBack(ctx context.Context, db *store.DB, ask AskHeads, late func(error)) (back bool, err error) {
	for ask != nil && ctx.Err() == nil {
		if back, err = wentBack(ctx, db, ask); err == nil {
			return back, nil
		}
		late(err)
		select {
		case <-ctx.Done():
		case <-time.After(askAgain):
		}
	}
	return false, nil
}

func wentBack(ctx context.Context, db *store.DB, ask AskHeads) (bool, error) {
	var known []Head
	err := db.Read(ctx, func(tx *store.Tx) (err error) { known, err = Told(tx); return err })
	if err != nil || len(known) == 0 {
		return false, err
	}
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	taken, err := ask(asking, known)
	if err != nil {
		return false, err
	}
	last := map[Head]int64{}
	for _, h := range known {
		last[Head{Stream: h.Stream, Incarnation: h.Incarnation}] = h.Seq
	}
	for _, h := range taken {
		if h.Seq > last[Head{Stream: h.Stream, Incarnation: h.Incarnation}] {
			return true, nil
		}
	}
	return false, nil
}

// MarkRestored begins every stream anew, for a service whose own tables need
// nothing else after its database was set back.
func MarkRestored(ctx context.Context, db *store.DB) (incarnation int64, err error) {
	err = db.Write(ctx, func(tx *store.Tx) error {
		incarnation, err = Reincarnate(tx)
		return err
	})
	return incarnation, err
}
