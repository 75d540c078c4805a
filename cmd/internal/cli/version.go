package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"ctrx/internal/errs"
)

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

// addShellFlag lets the completion command take its shell as DVC's does: by -s.
func addShellFlag(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	c, _, err := root.Find([]string{"completion"})
	if err != nil || c == root {
		return
	}
	shell := c.Flags().StringP("shell", "s", "", "print the script for this `shell`")
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *shell == "" {
			return c.Help()
		}
		sub, rest, err := c.Find([]string{*shell})
		if err != nil || sub == c || len(rest) > 0 {
			return errs.Hint(errs.New(errs.Usage, "argument -s/--shell: invalid choice: '%s'", *shell), "ctrx completion --help lists the shells")
		}
		return sub.RunE(sub, nil)
	}
}
