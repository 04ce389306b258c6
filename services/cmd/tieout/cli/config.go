package cli

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"tieout.dev/services/internal/config"
)

func (a *app) config() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "What the services are told"}
	cmd.AddCommand(a.configCheck(), a.configReference())
	return cmd
}

func (a *app) configCheck() *cobra.Command {
	var service string
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Check a configuration: every mistake with its key, its value and what is expected", Args: cobra.ExactArgs(1),
		Example: "  tieout config check tieout.yaml\n  tieout config check tieout.yaml --service writer -o json",
		Long: `Check a configuration as a service would when it starts, with the environment of
this shell and the files that it names. Without --service, as all of them would.
Exit code 2 says that it has mistakes.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := known(service); err != nil {
				return err
			}
			_, err := config.Load(args[0], service, os.Environ())
			problems, are := config.IsProblems(err)
			if err != nil && !are {
				return noFile(err)
			}
			if problems == nil {
				problems = config.Problems{}
			}
			perr := a.print(page[config.Problem]{Items: problems}, func(w io.Writer) {
				for _, p := range problems {
					fmt.Fprintln(w, p)
				}
				if len(problems) == 0 {
					fmt.Fprintf(w, "%s is right\n", args[0])
				}
			})
			if perr == nil && len(problems) > 0 {
				return &failure{code: exitUsage, silent: true, message: "the configuration has mistakes"} // as the services end with it
			}
			return perr
		},
	}
	cmd.Flags().StringVar(&service, "service", "", "check what this service reads")
	return cmd
}

// configReference prints docs/configuration.md.
func (a *app) configReference() *cobra.Command {
	return &cobra.Command{
		Use: "reference", Short: "Print every key with its meaning, variable and default, as Markdown", Args: cobra.NoArgs,
		Example: "  tieout config reference",
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.out, config.Reference())
			return err
		},
	}
}

// known refuses a --service that there is none of; "" is all of them.
func known(service string) error {
	if service != "" && !slices.Contains(config.Services(), service) {
		return usage("--service %q is not one of %v", service, config.Services())
	}
	return nil
}
