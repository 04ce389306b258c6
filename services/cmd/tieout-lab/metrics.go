package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tieout.dev/services/internal/dashboard"
)

// metricsCommand writes what is generated from the list of metrics.
func metricsCommand() *cobra.Command {
	var boards, page string
	c := &cobra.Command{Use: "metrics", Short: "Write the dashboards and the page of the metrics", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		if err := os.WriteFile(page, []byte(dashboard.Reference()), 0o644); err != nil {
			return fmt.Errorf("page of the metrics: %w", err)
		}
		for _, b := range dashboard.All() {
			text, err := b.JSON()
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(boards, b.ID+".json"), text, 0o644); err != nil {
				return fmt.Errorf("dashboard: %w", err)
			}
		}
		return nil
	}}
	c.Flags().StringVar(&boards, "dashboards", "deploy/dashboards", "folder of the dashboards")
	c.Flags().StringVar(&page, "page", "docs/metrics.md", "page that lists the metrics")
	return c
}
