package stream

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// memberID is the client id of this process's members: Kafka shows it with each.
func (c *Client) memberID() string {
	if c.instance == "" {
		return c.id
	}
	return c.id + "@" + c.instance
}

// replacePredecessor puts out of the group what a killed process left there: who
// joins would wait until the dead member's session is over. Kafka's own remedy,
// group.instance.id, is not in kafka-go. A predecessor that lives after all
// finds out with its next heartbeat and joins again.
func (c *Client) replacePredecessor(ctx context.Context, group string) error {
	if c.instance == "" {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, produceDeadline)
	defer cancel()
	res, err := c.kafka.DescribeGroups(asking, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return fmt.Errorf("members of group %s: %w", group, err)
	}
	leave := &kafka.LeaveGroupRequest{GroupID: group}
	for _, g := range res.Groups {
		if g.Error != nil && !errors.Is(g.Error, kafka.GroupIdNotFound) {
			return fmt.Errorf("members of group %s: %w", group, g.Error)
		}
		for _, m := range g.Members {
			if m.ClientID == c.memberID() {
				leave.Members = append(leave.Members, kafka.LeaveGroupRequestMember{ID: m.MemberID})
			}
		}
	}
	if len(leave.Members) == 0 {
		return nil
	}
	out, err := c.kafka.LeaveGroup(asking, leave)
	if err == nil {
		err = out.Error
	}
	if err != nil {
		return fmt.Errorf("put %d of group %s out: %w", len(leave.Members), group, err)
	}
	c.log.InfoContext(ctx, "a predecessor was put out of the group", "group", group, "members", len(leave.Members))
	return nil
}
