package stream

import (
	"context"
	"encoding/hex"
	"fmt"

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
	conn, _, err := c.dialAny(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	req := kmsg.NewPtrMetadataRequest()
	req.SetVersion(metadataVersion)
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = &topic
	req.Topics = append(req.Topics, asked)
	res := kmsg.NewPtrMetadataResponse()
	if err := c.exchange(ctx, conn, req, res); err != nil {
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
