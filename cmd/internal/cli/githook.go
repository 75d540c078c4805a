package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"ctrx/internal/errs"
	"ctrx/pipeline"
)

func (a *app) installCommand() *cobra.Command {
	var o pipeline.InstallOptions
	c := &cobra.Command{
		Use: "install", Short: "Make Git call ctrx: on commit, checkout, push, and to merge dvc.lock and .dvc files", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				if err := p.Install(c.Context(), o); err != nil {
					return err
				}
				return p.OfferToTrack(c.Context())
			})
		},
	}
	c.Flags().BoolVar(&o.PreCommitTool, "use-pre-commit-tool", false, "write the hooks into .pre-commit-config.yaml (https://pre-commit.com)")
	return c
}

func (a *app) gitHookCommand() *cobra.Command {
	c := &cobra.Command{Use: "git-hook", Short: "What Git calls after `ctrx install`"}
	c.AddCommand(
		a.hookCommand("pre-commit", "Say what changed in data and pipelines", "status"),
		a.hookCommand("pre-push", "Push data before the commits that name it", "push"),
		a.postCheckoutCommand(),
		a.mergeDriverCommand(),
	)
	return c
}

// hookCommand runs another command, in a project; elsewhere there is nothing
// to do.
func (a *app) hookCommand(name, short, command string) *cobra.Command {
	return &cobra.Command{
		Use: name + " [args...]", Short: short,
		RunE: func(c *cobra.Command, _ []string) error { return a.runHook(c.Context(), command) },
	}
}

func (a *app) runHook(ctx context.Context, command string) error {
	if _, err := pipeline.FindRoot(a.Dir); err != nil {
		return nil
	}
	if code := Main(ctx, []string{command}, a.hookStreams()); code != 0 {
		return statusCode(code)
	}
	return nil
}

// hookStreams are the streams of the command that a hook runs, in the folder
// of the hook.
func (a *app) hookStreams() Streams {
	s := a.Streams
	s.Dir = a.Dir
	return s
}

func (a *app) postCheckoutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "post-checkout [old new flag]", Short: "Bring the data of the new revision into the work tree",
		RunE: func(c *cobra.Command, args []string) error {
			branch := len(args) >= 3 && args[2] == "1" // and not single files
			for _, kv := range a.Env {                 // how the pre-commit tool says it
				if v, ok := strings.CutPrefix(kv, "PRE_COMMIT_CHECKOUT_TYPE="); ok && v != "" {
					branch = v == "1"
				}
			}
			if !branch {
				return nil
			}
			if _, err := pipeline.FindRoot(a.Dir); err != nil {
				return nil
			}
			may := false
			err := a.project(c.Context(), func(p *pipeline.Project) error {
				may = p.MayCheckout()
				return nil
			})
			if err != nil || !may {
				return err
			}
			return a.runHook(c.Context(), "checkout")
		},
	}
}

func (a *app) mergeDriverCommand() *cobra.Command {
	var o pipeline.MergeOptions
	c := &cobra.Command{
		Use: "merge-driver", Short: "Merge three versions of a dvc.lock or .dvc file", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Ancestor == "" || o.Our == "" || o.Their == "" {
				return errs.Hint(errs.New(errs.Usage, "--ancestor, --our and --their are needed: Git gives them"), "ctrx install")
			}
			o.Open = pipeline.OpenOptions{Dir: a.Dir, Args: a.args, Env: a.Env, Sink: a.printer, Now: a.Now, Ask: a.ask(), WaitForLock: a.waitForLock}
			return pipeline.MergeDriver(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Ancestor, "ancestor", "", "`file` with the common ancestor's version")
	f.StringVar(&o.Our, "our", "", "`file` with our version; it receives the result")
	f.StringVar(&o.Their, "their", "", "`file` with the other branch's version")
	f.StringVar(&o.Path, "path", "", "`name` of the file in the repository")
	return c
}
