package cli

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"ctrx/internal/errs"
	"ctrx/pipeline"
)

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "version", Aliases: []string{"doctor"}, Short: "Print versions and what this project uses", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.json = asJSON
			info := map[string]string{
				"ctrx": Version, "dvc": DVCVersion, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH,
			}
			if err := a.project(c.Context(), func(p *pipeline.Project) error {
				info["root"], info["cache"] = p.Root, p.Cache.Dir()
				info["remotes"] = strings.Join(p.Config.Remotes(), ", ")
				return nil
			}); err != nil && errs.KindOf(err) != errs.NotFound {
				return err
			}
			if asJSON {
				return a.printJSON(info)
			}
			a.printf("DVC version: %s (ctrx %s)\nPlatform: Go %s on %s\n", DVCVersion, Version, info["go"], info["platform"])
			if info["root"] != "" {
				a.printf("Repo: %s\nCache: %s\nRemotes: %s\n", info["root"], info["cache"], orNone(info["remotes"]))
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func orNone(s string) string {
	if s == "" {
		return "None"
	}
	return s
}

// genCommand writes what is made from the command tree.
func (a *app) genCommand() *cobra.Command {
	c := &cobra.Command{Use: "gen", Short: "Write man pages and command documentation"}
	header := &doc.GenManHeader{Title: "CTRX", Section: "1", Source: "ctrx " + Version, Manual: "ctrx"}
	for _, kind := range []struct {
		name, short string
		write       func(root *cobra.Command, dir string) error
	}{
		{"man", "Write man pages into a folder", func(r *cobra.Command, dir string) error { return doc.GenManTree(r, header, dir) }},
		{"markdown", "Write a Markdown page for each command into a folder", doc.GenMarkdownTree},
	} {
		c.AddCommand(&cobra.Command{
			Use: kind.name + " DIR", Short: kind.short, Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				if err := os.MkdirAll(args[0], 0o777); err != nil {
					return fmt.Errorf("write pages: %w", err)
				}
				root := c.Root()
				root.DisableAutoGenTag = true
				return kind.write(root, args[0])
			},
		})
	}
	return c
}

// exitCodesTopic is the help page about exit codes, made from their table.
func exitCodesTopic() *cobra.Command {
	var b strings.Builder
	b.WriteString("ctrx ends with one of these codes:\n\n    0  done\n")
	for _, r := range errs.Table() {
		if r.Code == errs.Usage.ExitCode() {
			b.WriteString("    2  a crash of ctrx itself: please report it\n")
		}
		fmt.Fprintf(&b, "%5d  %s\n", r.Code, r.Text)
	}
	b.WriteString("\nAny other code is a failure too.")
	return &cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: b.String()}
}
