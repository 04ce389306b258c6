// Package stream is the only owner of the Kafka client: topics, acknowledged
// produce, and consumers whose offset is a row in the caller's own database.
//
// Delivery is at least once and may repeat or reorder after the loss of a
// broker; what is read must carry its own number. A consumer group only says
// who reads which partition. The offset that counts is moved by the handler in
// the transaction that stores the batch; the group's offset in Kafka is written
// afterwards, for lag alone.
package stream

import (
	"errors"
	"time"
)

// Names of the headers on our records.
const (
	HeaderEventID     = "event-id"
	HeaderTenant      = "tenant"
	HeaderEntity      = "entity"
	HeaderTarget      = "target"
	HeaderLane        = "lane"
	HeaderSeq         = "seq"
	HeaderClass       = "class"
	HeaderType        = "type"
	HeaderSchema      = "schema"
	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
)

// ErrNotOwner is returned by a handler whose offset row was moved by somebody
// else: the batch is dropped and the row is read again.
var ErrNotOwner = errors.New("the offset row was moved by another owner")

// Header is one header of a record.
type Header struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Record is one record. On produce Topic, Key, Value, Headers and Time are used;
// the partition follows from the key.
type Record struct {
	Topic     string
	Partition int
	Offset    int64
	Key       string
	Value     []byte
	Headers   []Header
	Time      time.Time
}

// Header returns the value of a header, or "".
func (r *Record) Header(key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return h.Value
		}
	}
	return ""
}

// TopicPartition names one partition.
type TopicPartition struct {
	Topic     string
	Partition int
}

// Partition places a key: FNV-1a (64 bit) modulo n, the same in every service.
func Partition(key string, n int) int {
	hash := uint64(14695981039346656037)
	for i := range len(key) {
		hash = (hash ^ uint64(key[i])) * 1099511628211
	}
	return int(hash % uint64(n))
}
