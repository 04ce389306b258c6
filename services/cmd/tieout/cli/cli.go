// Package cli is the operator's command: every command is a client of the
// control plane, and of the sandboxes where they run.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/cmd/tieout/endpoints"
	"tieout.dev/services/internal/control"
)

// DefaultDir is where 'make run' keeps its state.
const DefaultDir = ".tieout/dev"

// app is what all commands share.
type app struct {
	server, token, dir string
	context            string // a named installation
	tenant             string // what is another's is not there; "" for the whole installation
	output             string
	ref                string // the record that the command names, if it names one
	yes                bool   // ask nothing
	out, err           io.Writer
	conn               *grpc.ClientConn
}

// Main runs the command line and returns the exit code.
func Main(ctx context.Context, args []string, out, errOut io.Writer) int {
	a := &app{out: out, err: errOut}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	root.InitDefaultCompletionCmd()
	refuseUnknown(root)
	completions(a, root)
	err := root.ExecuteContext(ctx)
	if a.conn != nil {
		err = errors.Join(err, a.conn.Close())
	}
	if err == nil {
		return exitOK
	}
	if outputOf(args) == "json" { // also where a mistake before it kept it from being read
		a.output = "json"
	}
	return a.report(err)
}

// outputOf is the output that a command line asks for, read without knowing its
// commands and flags.
func outputOf(args []string) string {
	for i, arg := range args {
		for _, name := range []string{"--output", "-o"} {
			value, ok := strings.CutPrefix(arg, name)
			switch {
			case !ok:
			case value == "" && i+1 < len(args):
				return args[i+1]
			case name == "-o" || strings.HasPrefix(value, "="):
				return strings.TrimPrefix(value, "=")
			}
		}
	}
	return ""
}

// refuseUnknown has commands that only hold others refuse a name that none of
// them has; by itself the library shows help and calls that a success.
func refuseUnknown(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.HasSubCommands() && !c.Runnable() {
			c.Args = nil
			c.RunE = func(cmd *cobra.Command, args []string) error {
				if len(args) == 0 {
					return cmd.Help()
				}
				return &failure{code: exitUsage, message: fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0]), who: "operator", next: cmd.CommandPath() + " --help"}
			}
		}
		refuseUnknown(c)
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "tieout",
		Short:         "Keeps CRMs and accounting books in step, and proves it",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			a.ref = recordOf(cmd, args)
			cmd.SetContext(control.ForTenant(cmd.Context(), a.tenant))
			switch a.output {
			case "table", "json", "yaml":
				return nil
			case "wide":
				a.output = "table" // nothing is left out of a table
				return nil
			case "csv":
				if cmd.Name() == "reconcile" {
					return nil
				}
			}
			return usage("output %q is not one of table, wide, json, yaml", a.output)
		},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.server, "server", os.Getenv("TIEOUT_SERVER"), "address of the control plane (TIEOUT_SERVER)")
	flags.StringVar(&a.token, "token", os.Getenv("TIEOUT_TOKEN"), "token for it (TIEOUT_TOKEN)")
	flags.StringVar(&a.dir, "dir", DefaultDir, "state folder whose endpoints.json names address and token")
	flags.StringVarP(&a.output, "output", "o", "table", "table, wide, json or yaml")
	flags.StringVar(&a.context, "context", os.Getenv("TIEOUT_CONTEXT"), "named installation of ~/.config/tieout/config.yaml (TIEOUT_CONTEXT)")
	flags.StringVar(&a.tenant, "tenant", "", "ask for this tenant alone: what is another's is not there; a connection that is added is its")
	flags.BoolVar(&a.yes, "yes", false, "do it without asking")
	flags.Bool("no-color", false, "no colours; there are none to begin with, so scripts may say so")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	root.AddCommand(a.dev(), a.status(), a.wait(), a.journey(), a.exceptions(), a.lanes(), a.restore(), a.connections(), a.backfill(), a.runs(), a.events(), a.audit(), a.notifications(), a.reconcile(), a.mapping(), a.config(), a.topics(), a.open(),
		a.doctor(), a.sandbox(), a.version())
	a.watchLists(root)
	return root
}

// connect opens the control plane: by flags, by a named context, else by the
// state folder.
func (a *app) connect() (*grpc.ClientConn, error) {
	if a.conn != nil {
		return a.conn, nil
	}
	server, token := a.server, a.token
	if server == "" {
		var err error
		if server, token, err = a.installation(); err != nil {
			return nil, err
		}
	}
	if server == "" {
		f, err := endpoints.Read(a.dir)
		if err != nil {
			return nil, &failure{code: exitAbsent, message: err.Error(), who: "operator", next: "make run"}
		}
		server, token = f.Control.Address, f.Control.Token
	}
	var err error
	a.conn, err = control.Dial(server, token, nil)
	return a.conn, err
}

// installation is the named context, or the current one unless a folder was named.
func (a *app) installation() (server, token string, err error) {
	if a.context == "" && a.dir != DefaultDir {
		return "", "", nil
	}
	server, named, err := named(a.context)
	if a.token != "" {
		named = a.token
	}
	return server, named, err
}

// clients are the services' control surfaces.
type clients struct {
	ingest     controlv1.IngestServiceClient
	transform  controlv1.TransformServiceClient
	writer     controlv1.WriterServiceClient
	reconciler controlv1.ReconcilerServiceClient
	audit      controlv1.AuditServiceClient
}

func (a *app) clients() (clients, error) {
	conn, err := a.connect()
	if err != nil {
		return clients{}, err
	}
	return clients{
		controlv1.NewIngestServiceClient(conn), controlv1.NewTransformServiceClient(conn), controlv1.NewWriterServiceClient(conn),
		controlv1.NewReconcilerServiceClient(conn), controlv1.NewAuditServiceClient(conn),
	}, nil
}

// version prints what was built.
func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Example: "  tieout version -o json",
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH}
			return a.print(v, func(w io.Writer) { fmt.Fprintf(w, "tieout %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch) })
		},
	}
}

// Version is the build's: a tag, or the revision it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, modified := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+changes"
		}
	}
	if v := info.Main.Version; v != "" && v != "(devel)" && !strings.HasPrefix(v, "v0.0.0-") {
		return v
	}
	if revision == "" {
		return "devel"
	}
	return "devel-" + revision[:min(12, len(revision))] + modified
}
