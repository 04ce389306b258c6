package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
)

// notificationView is one message to one channel; its names are promises.
type notificationView struct {
	ID       string `json:"id"`
	Channel  string `json:"channel"`
	Kind     string `json:"kind"`
	Target   string `json:"target"`
	Count    int64  `json:"count"`
	State    string `json:"state"`
	Attempts int64  `json:"attempts"`
	MadeAt   string `json:"made_at"`
	SentAt   string `json:"sent_at"`
	Error    string `json:"error"`
}

// channelView is how a channel did in a test.
type channelView struct {
	Channel string `json:"channel"`
	OK      bool   `json:"ok"`
	Error   string `json:"error"`
}

func (a *app) notifications() *cobra.Command {
	cmd := &cobra.Command{Use: "notifications", Short: "Messages to people about exceptions: what was sent, and a test"}
	var p part
	list := p.flags(&cobra.Command{
		Use: "list", Short: "List messages, newest first", Args: cobra.NoArgs, Example: "  tieout notifications list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			res, err := c.audit.ListNotifications(cmd.Context(), &controlv1.ListNotificationsRequest{Limit: p.limit, Next: p.next})
			if err != nil {
				return err
			}
			return a.printNotifications(res)
		},
	})
	test := &cobra.Command{
		Use: "test", Short: "Send a test to every channel now; exit 1 if one refuses it", Args: cobra.NoArgs, Example: "  tieout notifications test --help",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			res, err := c.audit.TestNotification(cmd.Context(), &controlv1.TestNotificationRequest{})
			if err != nil {
				return err
			}
			return a.printChannels(res.GetItems())
		},
	}
	cmd.AddCommand(list, test)
	return cmd
}

func (a *app) printNotifications(res *controlv1.ListNotificationsResponse) error {
	views := []notificationView{}
	for _, n := range res.GetItems() {
		views = append(views, notificationView{
			ID: n.GetId(), Channel: n.GetChannel(), Kind: n.GetKind(), Target: n.GetTarget(), Count: n.GetCount(), State: n.GetState(), Attempts: n.GetAttempts(),
			MadeAt: instant(n.GetMadeAt()), SentAt: instant(n.GetSentAt()), Error: n.GetError(),
		})
	}
	return a.print(page[notificationView]{Items: views, Next: res.GetNext()}, func(w io.Writer) {
		fmt.Fprintln(w, "MADE (UTC)\tCHANNEL\tSTATE\tKIND\tTARGET\tEXCEPTIONS\tATTEMPTS\tERROR")
		for _, n := range views {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", n.MadeAt, n.Channel, n.State, n.Kind, n.Target, n.Count, n.Attempts, n.Error)
		}
		more(w, res.GetNext())
	})
}

func (a *app) printChannels(items []*controlv1.ChannelResult) error {
	views, failed := []channelView{}, 0
	for _, c := range items {
		if c.GetError() != "" {
			failed++
		}
		views = append(views, channelView{Channel: c.GetChannel(), OK: c.GetError() == "", Error: c.GetError()})
	}
	err := a.print(page[channelView]{Items: views}, func(w io.Writer) {
		for _, c := range views {
			word := "took it"
			if !c.OK {
				word = "refused it: " + c.Error
			}
			fmt.Fprintf(w, "%s\t%s\n", c.Channel, word)
		}
	})
	if err == nil && failed > 0 {
		return &failure{code: exitError, silent: true, message: "a channel refused the message"}
	}
	return err
}
