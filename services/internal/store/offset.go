package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"tieout.dev/services/internal/crash"
)

// Advance moves the offset of a topic's partition from the batch's first offset
// to its end, in the transaction that stores the batch. False means that
// somebody else was there: drop the batch and read the row again.
func Advance(tx *Tx, topic string, partition int, from, to int64) (bool, error) {
	n, err := tx.Exec(`UPDATE consumer_offset SET next = $1 WHERE topic = $2 AND part = $3 AND next = $4`, to, topic, partition, from)
	if err != nil {
		return false, fmt.Errorf("advance %s/%d from %d to %d: %w", topic, partition, from, to, err)
	}
	crash.At(crash.StoreOffsetMoved)
	return n == 1, nil
}

// Offset reads where to go on in a topic's partition and which topic that was;
// known is false if nothing was ever read of it.
func (db *DB) Offset(ctx context.Context, topic string, partition int) (next int64, topicID string, known bool, err error) {
	err = db.Read(ctx, func(tx *Tx) error {
		err := tx.QueryRow(`SELECT next, topic_id FROM consumer_offset WHERE topic = $1 AND part = $2`, topic, partition).Scan(&next, &topicID)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		known = err == nil
		return err
	})
	if err != nil {
		return 0, "", false, fmt.Errorf("read offset of %s/%d: %w", topic, partition, err)
	}
	return next, topicID, known, nil
}

// StartOffset makes the first row of a partition; a row that exists stays.
func (db *DB) StartOffset(ctx context.Context, topic string, partition int, next int64, topicID string) error {
	return db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`INSERT INTO consumer_offset (topic, part, next, topic_id) VALUES ($1, $2, $3, $4) ON CONFLICT (topic, part) DO NOTHING`,
			topic, partition, next, topicID)
		return err
	})
}

// ResetOffset moves a row to where a partition can be read again, if it still
// stands at from.
func (db *DB) ResetOffset(ctx context.Context, topic string, partition int, from, to int64, topicID string) error {
	return db.Write(ctx, func(tx *Tx) error {
		_, err := tx.Exec(`UPDATE consumer_offset SET next = $1, topic_id = $2 WHERE topic = $3 AND part = $4 AND next = $5`,
			to, topicID, topic, partition, from)
		return err
	})
}
