package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

func (a *app) expPushCommand() *cobra.Command {
	var o experiment.ShareOptions
	c := &cobra.Command{
		Use: "push GIT_REMOTE [EXPERIMENT...]", Short: "Send experiments to a Git remote, and their data to the data's remote", Args: cobra.MinimumNArgs(1),
		Example: "  ctrx exp push origin brisk-otter\n  ctrx exp push origin --rev main\n  ctrx exp push git@example.com:me/project.git -A --no-cache",
		RunE: func(c *cobra.Command, args []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.GitRemote, o.Names = args[0], args[1:]
				done, err := experiment.Push(c.Context(), p, o)
				a.tellPushed(p, o, done, err)
				return err
			})
		},
	}
	shareFlags(c, &o, "push")
	return c
}

// tellPushed prints what a push did, in DVC's words.
func (a *app) tellPushed(p *pipeline.Project, o experiment.ShareOptions, done experiment.Shared, err error) {
	remote := dvcfile.PyRepr(o.GitRemote)
	if len(done.Diverged) > 0 {
		p.Warn("Local experiment %s has diverged from remote experiment with the same name.\nTo override the remote experiment re-run with '--force'.", plainJoin(done.Diverged))
	}
	if len(done.UpToDate) > 0 {
		verb := "is"
		if len(done.UpToDate) > 1 {
			verb = "are"
		}
		p.Info("Experiment %s %s up to date on Git remote %s.", plainJoin(done.UpToDate), verb, remote)
	}
	if len(done.Done) > 0 {
		p.Info("Pushed experiment %s to Git remote %s.", plainJoin(done.Done), remote)
	}
	if len(done.UpToDate)+len(done.Done) == 0 && err == nil {
		p.Info("No experiments to push.")
	}
	switch n := done.Data.Files; {
	case n == 1:
		p.Info("1 file uploaded")
	case n > 1:
		p.Info("%d files uploaded", n)
	}
	if o.NoCache && err == nil {
		p.Info("To push cached outputs for this experiment to DVC remote storage, re-run this command without '--no-cache'.")
	}
}

func (a *app) expPullCommand() *cobra.Command {
	var o experiment.ShareOptions
	c := &cobra.Command{
		Use: "pull GIT_REMOTE [EXPERIMENT...]", Short: "Bring experiments of a Git remote here, and their data into the cache", Args: cobra.MinimumNArgs(1),
		Example: "  ctrx exp pull origin brisk-otter\n  ctrx exp apply brisk-otter",
		RunE: func(c *cobra.Command, args []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.GitRemote, o.Names = args[0], args[1:]
				done, err := experiment.Pull(c.Context(), p, o)
				a.tellPulled(p, o, done, err)
				return err
			})
		},
	}
	shareFlags(c, &o, "pull")
	return c
}

func (a *app) tellPulled(p *pipeline.Project, o experiment.ShareOptions, done experiment.Shared, err error) {
	if len(done.Diverged) > 0 {
		p.Warn("Local experiment '%s' has diverged from remote experiment with the same name. To override the local experiment re-run with '--force'.", listRepr(done.Diverged))
	}
	if len(done.Done) > 0 {
		p.Info("Pulled experiment '%s' from Git remote '%s'.", listRepr(done.Done), o.GitRemote)
	} else if err == nil {
		p.Info("No experiments to pull.")
	}
	if o.NoCache && err == nil {
		p.Info("To pull cached outputs for this experiment from DVC remote storage, re-run this command without '--no-cache'.")
	}
}

func shareFlags(c *cobra.Command, o *experiment.ShareOptions, verb string) {
	f := c.Flags()
	selectionFlags(c, &o.Selection)
	f.BoolVarP(&o.Force, "force", "f", false, "replace experiments that have diverged")
	f.BoolVar(&o.NoCache, "no-cache", false, verb+" no data")
	f.StringVarP(&o.DVCRemote, "remote", "r", "", "`name` of the remote of the data")
	f.IntVarP(&o.Jobs, "jobs", "j", 0, "transfers at a time")
	f.BoolVar(&o.RunCache, "run-cache", false, verb+" the run cache too")
	f.Bool("no-run-cache", false, "leave the run cache out, as without flags")
	c.MarkFlagsMutuallyExclusive("run-cache", "no-run-cache")
}

// plainJoin lists names as a, b and c.
func plainJoin(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("%s and %s", strings.Join(names[:len(names)-1], ", "), names[len(names)-1])
}

// listRepr is a list of names in Python's notation, which DVC prints here.
func listRepr(names []string) string {
	list := make([]dvcfile.Value, len(names))
	for i, n := range names {
		list[i] = n
	}
	return dvcfile.PyRepr(list)
}
