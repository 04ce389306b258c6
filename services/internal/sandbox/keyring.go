package sandbox

import "time"

// keyringBytes bounds the remembered answers; the oldest go first.
const keyringBytes = 64 << 20

// remembered is the first answer given under an idempotency key.
type remembered struct {
	Key   string `json:"key"`
	At    Time   `json:"at"`
	Value []byte `json:"value"`
}

// keyring is what a vendor remembers of idempotency keys: bounded by age when
// asked and by size always.
type keyring struct {
	byKey map[string]remembered
	order []string
	bytes int
}

func newKeyring() keyring { return keyring{byKey: map[string]remembered{}} }

func (k *keyring) add(r remembered) {
	if _, ok := k.byKey[r.Key]; ok {
		return
	}
	k.byKey[r.Key] = r
	k.order = append(k.order, r.Key)
	k.bytes += len(r.Value)
	for k.bytes > keyringBytes && len(k.order) > 0 {
		k.dropOldest()
	}
}

// list is every remembered answer, oldest first.
func (k *keyring) list() []remembered {
	out := make([]remembered, 0, len(k.order))
	for _, key := range k.order {
		out = append(out, k.byKey[key])
	}
	return out
}

func (k *keyring) dropOldest() {
	key := k.order[0]
	k.order = k.order[1:]
	k.bytes -= len(k.byKey[key].Value)
	delete(k.byKey, key)
}

// expire drops what is older than life.
func (k *keyring) expire(now time.Time, life time.Duration) {
	for len(k.order) > 0 && now.Sub(k.byKey[k.order[0]].At.Time) > life {
		k.dropOldest()
	}
}
