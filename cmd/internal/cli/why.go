package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ctrx/internal/errs"
	"ctrx/pipeline"
)

func (a *app) whyCommand() *cobra.Command {
	var o pipeline.PlanOptions
	var asJSON bool
	c := &cobra.Command{
		Use: "why [stages...]", Short: "Say why stages would run: what changed, who recorded it last, how long it took",
		RunE: func(c *cobra.Command, targets []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.Targets = targets
				all, err := p.Why(c.Context(), o)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(whyJSON(p, all))
				}
				for i, e := range all {
					if i > 0 {
						a.printf("\n")
					}
					a.printWhy(p, e)
				}
				if len(all) == 0 {
					a.printf("Data and pipelines are up to date.\n")
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.BoolVarP(&o.Force, "force", "f", false, "as if every stage were to run")
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "targets are folders: every stage file below them")
	f.BoolVar(&o.Glob, "glob", false, "targets are patterns of stage names")
	f.BoolVar(&o.AllowMissing, "allow-missing", false, "missing data alone does not make a stage run")
	f.BoolVar(&o.NoRunCache, "no-run-cache", false, "as if the run cache were empty")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// shownFiles is how many members of a changed folder are named.
const shownFiles = 10

func (a *app) printWhy(p *pipeline.Project, e pipeline.Explanation) {
	a.printf("%s: %s\n", e.Step.Stage.Address(p.Dir), verdict(p, e))
	for _, r := range e.Reasons {
		a.printf("  %s\n", reasonText(r))
		for i, f := range r.Files {
			if i == shownFiles {
				a.printf("    and %d more\n", len(r.Files)-shownFiles)
				break
			}
			a.printf("    %s %s\n", f.State, f.Path)
		}
	}
	if o := e.Origin; o != nil {
		a.printf("  recorded %s\n", originText(o))
	}
	if l := e.Last; l != nil {
		what := "took " + roughly(l.Took())
		if l.Failed != "" {
			what = "failed after " + roughly(l.Took())
		}
		a.printf("  last run here %s, %s\n", what, l.Began.Local().Format(time.DateTime))
	}
}

func verdict(p *pipeline.Project, e pipeline.Explanation) string {
	var names []string
	for _, s := range e.Behind {
		names = append(names, "'"+s.Address(p.Dir)+"'")
	}
	switch e.Step.Action {
	case pipeline.Run:
		return "will run"
	case pipeline.Restore:
		return "will be restored from the run cache"
	case pipeline.Verify:
		return "will be hashed again"
	}
	if len(names) > 0 {
		return "may run, it reads what " + strings.Join(names, ", ") + " will make"
	}
	return "up to date"
}

func reasonText(r pipeline.Reason) string {
	text := r.What
	if r.Name != "" {
		text += " " + r.Name
	}
	if r.State != "" {
		text += " " + r.State
	}
	switch {
	case r.Old != "" && r.New != "":
		text += ": " + r.Old + " -> " + r.New
	case r.Old != "":
		text += ": was " + r.Old
	case r.New != "":
		text += ": " + r.New
	}
	return text
}

func originText(o *pipeline.Origin) string {
	var parts []string
	if o.Commit != "" {
		parts = append(parts, fmt.Sprintf("in commit %s %q", o.Commit[:7], o.Subject))
	}
	if o.Experiment != "" {
		parts = append(parts, "by experiment '"+o.Experiment+"'")
	}
	if o.RunID != "" {
		parts = append(parts, "MLflow run "+o.RunID)
	}
	if o.Commit == "" && o.Experiment == "" {
		parts = append(parts, "by a run that is not committed")
	}
	return strings.Join(parts, ", ") + ", " + o.When.Local().Format(time.DateTime)
}

// roughly gives a duration with as many digits as matter.
func roughly(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func whyJSON(p *pipeline.Project, all []pipeline.Explanation) any {
	actions := map[pipeline.Action]string{pipeline.Skip: "skip", pipeline.Restore: "restore", pipeline.Run: "run", pipeline.Verify: "verify"}
	out := []map[string]any{}
	for _, e := range all {
		reasons := []map[string]any{}
		for _, r := range e.Reasons {
			m := map[string]any{"what": r.What, "name": r.Name, "state": r.State, "old": r.Old, "new": r.New}
			for _, f := range r.Files {
				list, _ := m["files"].([]map[string]string)
				m["files"] = append(list, map[string]string{"path": f.Path, "state": string(f.State)})
			}
			reasons = append(reasons, m)
		}
		behind := []string{}
		for _, s := range e.Behind {
			behind = append(behind, s.Address(p.Dir))
		}
		m := map[string]any{"stage": e.Step.Stage.Address(p.Dir), "action": actions[e.Step.Action], "reasons": reasons, "behind": behind, "origin": nil, "last_run": nil}
		if o := e.Origin; o != nil {
			m["origin"] = map[string]any{"commit": o.Commit, "subject": o.Subject, "time": o.When.UTC(), "experiment": o.Experiment, "run_id": o.RunID}
		}
		if l := e.Last; l != nil {
			m["last_run"] = map[string]any{"began": l.Began, "seconds": l.Seconds, "failed": l.Failed}
		}
		out = append(out, m)
	}
	return out
}

func (a *app) logsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logs [stages...]", Short: "Show what the commands of stages wrote when they ran last",
		RunE: func(c *cobra.Command, targets []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				stages, err := p.LoggedStages(c.Context(), targets)
				if err != nil {
					return err
				}
				for _, s := range stages {
					if err := a.printLog(p, s, len(stages) > 1); err != nil {
						return err
					}
				}
				if len(stages) == 0 {
					return errs.New(errs.NotFound, "no log of any stage is kept here")
				}
				return nil
			})
		},
	}
}

func (a *app) printLog(p *pipeline.Project, s *pipeline.Stage, titled bool) error {
	log, err := p.Log(s)
	if err != nil {
		return err
	}
	defer log.Close()
	if titled {
		a.printf("==> %s <==\n", s.Address(p.Dir))
	}
	a.printer.close()
	_, err = io.Copy(a.Out, log)
	return err
}
