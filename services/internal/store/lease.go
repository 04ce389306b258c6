package store

import (
	"context"
	"fmt"
	"time"
)

// LeaseTime is how long a lease lasts unless it is renewed.
const LeaseTime = 10 * time.Second

// Lease takes or renews the lease of a name for an owner (random per process
// start). It is for work that is harmless when done twice: a process that was
// frozen does not know that its lease has ended.
func (db *DB) Lease(ctx context.Context, name, owner string) (held bool, err error) {
	err = db.Write(ctx, func(tx *Tx) (err error) {
		held, err = tx.lease(name, owner)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("lease %s: %w", name, err)
	}
	return held, nil
}

func (tx *Tx) lease(name, owner string) (held bool, err error) {
	now := tx.Now()
	n, err := tx.Exec(`INSERT INTO lease (name, owner, valid_until) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, valid_until = excluded.valid_until
		WHERE lease.owner = excluded.owner OR lease.valid_until <= $4`, name, owner, now+LeaseTime.Microseconds(), now)
	return n == 1, err
}

// Present says that owner is one of a group, for the time of a lease, and
// counts those that are.
func (db *DB) Present(ctx context.Context, group, owner string) (n int, err error) {
	err = db.Write(ctx, func(tx *Tx) error {
		if _, err := tx.lease(Presence(group, owner), owner); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM lease WHERE substr(name, 1, length($1)) = $1 AND valid_until <= $2`, Presence(group, ""), tx.Now()); err != nil {
			return err
		}
		return tx.QueryRow(`SELECT COUNT(*) FROM lease WHERE substr(name, 1, length($1)) = $1`, Presence(group, "")).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", group, err)
	}
	return n, nil
}

// Presence is the lease by which owner is one of a group.
func Presence(group, owner string) string { return group + "/" + owner }

// Release gives a lease back, if owner has it.
func (db *DB) Release(ctx context.Context, name, owner string) error {
	return db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM lease WHERE name = $1 AND owner = $2`, name, owner)
		return err
	})
}

// DropLeases ends all leases. It is for the one process that holds the lock of
// an embedded data folder: its predecessor is gone, so nobody waits for it.
func (db *DB) DropLeases(ctx context.Context) error {
	return db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`DELETE FROM lease`)
		return err
	})
}
