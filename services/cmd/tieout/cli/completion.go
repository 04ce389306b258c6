package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/exception"
)

// complete is what a shell asks for while a person types.
type complete = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// completions offers values where there are few: of flags, and the ids of
// connections and of open exceptions, which the installation is asked for.
func completions(a *app, root *cobra.Command) {
	flags := map[string][]string{"output": {"table", "wide", "json", "yaml"}, "state": {string(exception.Open), string(exception.Released), string(exception.Discarded)}}
	for _, k := range exception.Kinds() {
		flags["kind"] = append(flags["kind"], string(k))
	}
	for _, cmd := range root.Commands() {
		parent := ""
		if cmd.HasParent() {
			parent = cmd.Parent().Name()
		}
		for name, values := range flags {
			if cmd.LocalNonPersistentFlags().Lookup(name) != nil {
				_ = cmd.RegisterFlagCompletionFunc(name, fixed(values)) // fails for a flag that is not there
			}
		}
		if cmd.LocalNonPersistentFlags().Lookup("connection") != nil {
			_ = cmd.RegisterFlagCompletionFunc("connection", a.offer(a.connectionIDs))
		}
		ids := cmd.Use == cmd.Name()+" ID" || cmd.Use == cmd.Name()+" [ID]"
		switch {
		case ids && parent == "connections":
			cmd.ValidArgsFunction = a.offer(a.connectionIDs)
		case ids && parent == "exceptions":
			cmd.ValidArgsFunction = a.offer(a.exceptionIDs)
		}
		completions(a, cmd)
	}
	if !root.HasParent() {
		_ = root.RegisterFlagCompletionFunc("output", fixed(flags["output"]))
	}
}

func fixed(values []string) complete {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

// offer asks for ids, for the first argument; where nobody answers there are none.
func (a *app) offer(ids func(cmd *cobra.Command) ([]string, error)) complete {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, err := ids(cmd)
		if err != nil {
			cobra.CompDebugln(err.Error(), false)
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) connectionIDs(cmd *cobra.Command) (ids []string, err error) {
	v, err := a.readStatus(cmd.Context())
	if err != nil {
		return nil, err
	}
	for _, c := range v.Connections {
		ids = append(ids, c.ID+"\t"+c.Account)
	}
	return ids, nil
}

func (a *app) exceptionIDs(cmd *cobra.Command) (ids []string, err error) {
	list, err := a.readExceptions(cmd.Context(), &controlv1.ListExceptionsRequest{})
	if err != nil {
		return nil, err
	}
	for _, e := range list.Items {
		ids = append(ids, fmt.Sprintf("%s\t%s: %s", e.ID, e.Kind, e.Subject))
	}
	return ids, nil
}
