package stream

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metadataVersion is the first version of the request without deprecated
// fields; kafka-go stops at 8, which does not know topic ids (from 10 on).
const metadataVersion = 12

// topicID asks a broker for a topic's id, which tells a topic from one of the
// same name that was deleted and made again.
func (c *Client) topicID(ctx context.Context, topic string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, produceDeadline)
	defer cancel()
	id, err := c.askTopicID(ctx, topic)
	if err != nil {
		return "", fmt.Errorf("id of topic %s: %w", topic, err)
	}
	return id, nil
}

func (c *Client) askTopicID(ctx context.Context, topic string) (string, error) {
	conn, err := c.dialAny(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(metadataVersion)
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	req.Topics = append(req.Topics, asked)
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.id)).AppendRequest(nil, req, 1)); err != nil {
		return "", err
	}
	body, err := readAnswer(conn)
	if err != nil {
		return "", err
	}
	res := kmsg.NewPtrMetadataResponse()
	res.SetVersion(metadataVersion)
	if err := res.ReadFrom(body); err != nil {
		return "", err
	}
	if len(res.Topics) != 1 {
		return "", kafka.UnknownTopicOrPartition
	}
	if code := res.Topics[0].ErrorCode; code != 0 {
		return "", kafka.Error(code)
	}
	return hex.EncodeToString(res.Topics[0].TopicID[:]), nil
}

// readAnswer reads one answer and returns what follows its header: length (4),
// correlation id (4), number of tagged fields (one byte 0).
func readAnswer(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n < 5 || n > 16<<20 {
		return nil, errors.New("not an answer to a metadata request")
	}
	answer := make([]byte, n)
	if _, err := io.ReadFull(r, answer); err != nil {
		return nil, err
	}
	return answer[5:], nil
}
