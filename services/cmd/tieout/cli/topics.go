package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"tieout.dev/services/cmd/assembly"
	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/internal/config"
	"tieout.dev/services/internal/run"
	"tieout.dev/services/internal/stream"
)

// brokersAnswerWithin bounds how long a broker may be away.
const brokersAnswerWithin = 20 * time.Second

func (a *app) topics() *cobra.Command {
	cmd := &cobra.Command{Use: "topics", Short: "The topics that the services speak over"}
	cmd.AddCommand(a.topicsApply())
	return cmd
}

func (a *app) topicsApply() *cobra.Command {
	var file, service string
	var plan bool
	cmd := &cobra.Command{
		Use: "apply", Short: "Make the topics that are missing and bring their settings in line", Args: cobra.NoArgs,
		Example: "  tieout topics apply --plan\n  tieout topics apply --config tieout.yaml",
		Long: `Make the topics that are missing and bring the settings of the others in line.
--plan only tells what would be done.

A topic is never deleted, the number of its partitions never changed (the keys of
what it holds lie by that number), and its retention never shortened: these are
named, nothing is done about them, and the command ends with code 5.

Brokers, security, partitions and replication are those of --config. Without it
the brokers of the installation in --dir are asked, and their topics keep the
number of partitions that they have.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), brokersAnswerWithin)
			defer cancel()
			rt, err := a.runtime(ctx, file, service)
			if err != nil {
				return err
			}
			changes, err := settleTopics(ctx, rt, plan)
			if cerr := rt.Close(cmd.Context()); err == nil {
				err = cerr
			}
			if err != nil {
				return &failure{code: exitAbsent, message: "the brokers: " + err.Error(), who: "operator", next: "see whether they run, and run it again: it is safe to repeat"}
			}
			return a.tellTopics(changes, plan)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration of a service, as services are given it")
	cmd.Flags().StringVar(&service, "service", "", "read it as this service does; without, as all of them")
	cmd.Flags().BoolVar(&plan, "plan", false, "only tell what would be done")
	return cmd
}

func settleTopics(ctx context.Context, rt *run.Runtime, plan bool) ([]stream.TopicChange, error) {
	topics := rt.Topics()
	changes, err := rt.Bus.PlanTopics(ctx, topics)
	if err != nil || plan {
		return changes, err
	}
	return changes, rt.Bus.ApplyTopics(ctx, topics, changes)
}

func (a *app) tellTopics(changes []stream.TopicChange, plan bool) error {
	err := a.print(page[stream.TopicChange]{Items: changes}, func(w io.Writer) {
		for _, x := range changes {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s -> %s\t%s\n", x.Action, x.Topic, x.What, x.Is, x.Want, x.Why)
		}
		switch {
		case len(changes) == 0:
			fmt.Fprintln(w, "the topics are as they shall be")
		case plan:
			fmt.Fprintln(w, "nothing was changed: without --plan it is")
		}
	})
	if err == nil && slices.ContainsFunc(changes, func(x stream.TopicChange) bool { return x.Action == stream.Refuse }) {
		return &failure{code: exitDifference, message: "some topics differ in what only a person may change", who: "operator",
			next: "set kafka.partitions to what the topics have; shorten a retention with kafka-configs --alter where that is meant"}
	}
	return err
}

// runtime connects to the brokers of a configuration, else of the installation
// in the state folder.
func (a *app) runtime(ctx context.Context, file, service string) (*run.Runtime, error) {
	log := slog.New(slog.DiscardHandler)
	if err := known(service); err != nil {
		return nil, err
	}
	if file != "" {
		cfg, err := config.Load(file, service, os.Environ())
		if problems, are := config.IsProblems(err); are {
			return nil, &failure{code: exitUsage, message: fmt.Sprintf("%s: %s", file, problems[0]), who: "operator", next: "tieout config check " + file}
		}
		if err != nil {
			return nil, noFile(err)
		}
		return run.New(assembly.Runtime(cfg, Version(), log))
	}
	f, err := endpoints.Read(a.dir)
	if err != nil {
		return nil, &failure{code: exitAbsent, message: err.Error(), who: "operator", next: "make run, or name the services' configuration with --config"}
	}
	rt, err := run.New(run.Config{Kafka: f.Kafka, Partitions: 1, Log: log, Now: time.Now})
	if err != nil {
		return nil, err
	}
	topics := rt.Topics()
	at, err := rt.Bus.Partitions(ctx, topics[0].Name)
	if err != nil {
		_ = rt.Close(ctx)
		return nil, &failure{code: exitAbsent, message: "the brokers of " + a.dir + ": " + err.Error(), who: "operator", next: "name the services' configuration with --config"}
	}
	rt.Partitions = at
	return rt, nil
}
