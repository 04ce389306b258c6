package stream

import (
	"slices"

	"github.com/segmentio/kafka-go"
)

// together gives partition p of every subscribed topic to the same member, so
// that one process owns what a key has in all of them.
type together struct{}

// ProtocolName names the strategy; all members of a group must know it.
func (together) ProtocolName() string { return "together" }

// UserData is empty: members say nothing but what they subscribe to.
func (together) UserData() ([]byte, error) { return nil, nil }

// AssignGroups deals the partitions out in the order of the members' ids.
func (together) AssignGroups(members []kafka.GroupMember, partitions []kafka.Partition) kafka.GroupMemberAssignments {
	out := kafka.GroupMemberAssignments{}
	ids := make([]string, 0, len(members))
	for _, m := range members {
		ids = append(ids, m.ID)
		out[m.ID] = map[string][]int{}
	}
	slices.Sort(ids)
	for _, p := range partitions {
		if len(ids) == 0 {
			break
		}
		owner := out[ids[p.ID%len(ids)]]
		owner[p.Topic] = append(owner[p.Topic], p.ID)
	}
	return out
}
