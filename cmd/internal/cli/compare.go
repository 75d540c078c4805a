package cli

import (
	"cmp"
	"context"
	"encoding/json"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/experiment"
	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/report"
)

// formats are the flags that choose how a comparison is printed.
type formats struct {
	json, md, noPath, all bool
	precision             int
}

func (o *formats) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.md, "md", false, "print a Markdown table")
	f.IntVar(&o.precision, "precision", 5, "number of decimals in tables")
}

func (o *formats) diffFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.all, "all", false, "also what did not change")
	f.BoolVar(&o.noPath, "no-path", false, "leave the column of files out")
}

func (a *app) metricsCommand() *cobra.Command {
	c := &cobra.Command{Use: "metrics", Short: "Show and compare metrics"}
	c.AddCommand(a.metricsShowCommand(), a.metricsDiffCommand())
	return c
}

func (a *app) metricsShowCommand() *cobra.Command {
	var o formats
	var revs pipeline.Revisions
	var recursive bool
	c := &cobra.Command{
		Use: "show [targets...]", Short: "Show metrics",
		RunE: func(c *cobra.Command, targets []string) error {
			a.json = o.json
			return a.project(c.Context(), func(p *pipeline.Project) error {
				shown, err := a.metricsOf(c.Context(), p, revs, targets)
				if err != nil {
					return err
				}
				if o.json {
					a.printValue(report.ShowValue(shown))
				} else {
					a.printTable(report.ShowTable(shown, revs.Any(), o.precision), o.md)
				}
				return nil
			})
		},
	}
	f := c.Flags()
	o.flags(f)
	f.BoolVarP(&revs.AllBranches, "all-branches", "a", false, "also of every branch")
	f.BoolVarP(&revs.AllTags, "all-tags", "T", false, "also of every tag")
	f.BoolVarP(&revs.AllCommits, "all-commits", "A", false, "also of every commit")
	f.BoolVarP(&recursive, "recursive", "R", false, "targets are folders")
	return c
}

// metricsOf collects the metrics of the work tree and of the selected revisions.
func (a *app) metricsOf(ctx context.Context, p *pipeline.Project, revs pipeline.Revisions, targets []string) ([]report.Revision, error) {
	sources, err := p.Sources(ctx, revs)
	if err != nil {
		return nil, err
	}
	var shown []report.Revision
	for _, s := range sources {
		ix, broken, err := loadRevision(ctx, p, s.Name, s.Source, len(targets) > 0)
		if err != nil {
			return nil, err
		}
		if broken != nil {
			shown = append(shown, report.Revision{Name: s.Name, Err: broken})
			continue
		}
		files, err := p.Metrics(ctx, ix, targets)
		if err != nil {
			return nil, err
		}
		shown = append(shown, report.Revision{Name: s.Name, Files: metricFiles(a.reportFiles(p, s.Name, files))})
	}
	if p.Git == nil {
		return shown, nil
	}
	head, err := p.Git.Head()
	return report.HideWorkspace(shown, head.Branch), err
}

// loadRevision loads an index. A commit whose dvc.yaml or dvc.lock is broken is
// told, and no failure: nobody can mend it any more. Files that are named need no
// index, so with named it is empty.
func loadRevision(ctx context.Context, p *pipeline.Project, name string, src pipeline.Source, named bool) (ix *pipeline.Index, broken, err error) {
	ix, err = p.LoadIndex(ctx, src)
	if err == nil || name == "" || name == "workspace" || errs.KindOf(err) != errs.ProjectFile {
		return ix, nil, err
	}
	if named {
		return &pipeline.Index{Source: src}, nil, nil
	}
	p.Warn("%s: %v", name, err)
	return &pipeline.Index{Source: src}, err, nil
}

// reportFiles names the files of a revision as the user sees them. One that
// cannot be read is no failure of the command, as in DVC: it is told.
func (a *app) reportFiles(p *pipeline.Project, rev string, files []pipeline.FileValues) []report.File {
	out := make([]report.File, len(files))
	for i, f := range files {
		if f.Err != nil && (rev == "" || rev == "workspace") {
			p.Warn("%v", f.Err)
		} else if f.Err != nil {
			p.Warn("%s: %v", rev, f.Err)
		}
		out[i] = report.File{Path: p.Show(f.Path), Rel: f.Path, Data: f.Values, Err: f.Err}
	}
	return out
}

// metricFiles reduces the content of metrics files to metrics.
func metricFiles(files []report.File) []report.File {
	for i := range files {
		files[i].Data = report.Metrics(files[i].Data)
	}
	return files
}

// side is one half of a comparison.
type side struct {
	name            string
	metrics, params []report.File
}

// sideOf reads the metrics and params of a revision; "" or "workspace" is the
// work tree.
func (a *app) sideOf(ctx context.Context, p *pipeline.Project, rev string, o sideOptions) (side, error) {
	s := side{name: cmp.Or(rev, "workspace")}
	src, err := experiment.Source(p, s.name)
	if err != nil {
		return s, err
	}
	ix, broken, err := loadRevision(ctx, p, s.name, src, len(o.targets) > 0)
	if err != nil || broken != nil {
		return s, err
	}
	if o.metrics {
		files, err := p.Metrics(ctx, ix, o.targets)
		if err != nil {
			return s, err
		}
		s.metrics = metricFiles(a.reportFiles(p, s.name, files))
	}
	if o.params {
		files, err := p.Params(ctx, ix, pipeline.ParamsOptions{Targets: o.targets, DepsOnly: o.depsOnly})
		if err != nil {
			return s, err
		}
		s.params = a.reportFiles(p, s.name, files)
	}
	return s, nil
}

type sideOptions struct {
	metrics, params, depsOnly bool
	targets                   []string
}

// sides reads both halves of a comparison: HEAD against the work tree unless
// revisions are given.
func (a *app) sides(ctx context.Context, p *pipeline.Project, revs []string, o sideOptions) (old, now side, err error) {
	if _, err := p.Repo(); err != nil {
		return old, now, err
	}
	if head, err := p.Git.Head(); err == nil && head.Commit == "" && len(revs) == 0 {
		// Without a commit there is nothing to compare with; DVC prints nothing.
		return side{name: "HEAD"}, side{name: "workspace"}, nil
	}
	from, to := "HEAD", ""
	if len(revs) > 0 {
		from = revs[0]
	}
	if len(revs) > 1 {
		to = revs[1]
	}
	if old, err = a.sideOf(ctx, p, from, o); err != nil {
		return old, now, err
	}
	now, err = a.sideOf(ctx, p, to, o)
	return old, now, err
}

func (a *app) metricsDiffCommand() *cobra.Command {
	var o formats
	var targets []string
	var recursive bool
	c := &cobra.Command{
		Use: "diff [A [B]]", Short: "Compare the metrics of two revisions", Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, revs []string) error {
			a.json = o.json
			return a.project(c.Context(), func(p *pipeline.Project) error {
				old, now, err := a.sides(c.Context(), p, revs, sideOptions{metrics: true, targets: targets})
				if err != nil {
					return err
				}
				a.printDiff(old.diffMetrics(now, o.all), o, report.MetricsLayout(old.name, now.name))
				return nil
			})
		},
	}
	f := c.Flags()
	o.flags(f)
	o.diffFlags(f)
	f.StringArrayVar(&targets, "targets", nil, "metrics `files` to compare")
	f.BoolVarP(&recursive, "recursive", "R", false, "targets are folders")
	return c
}

func (s side) diffMetrics(now side, all bool) report.Diff {
	return report.Compare(report.Revision{Name: s.name, Files: s.metrics}, report.Revision{Name: now.name, Files: now.metrics}, all)
}

func (s side) diffParams(now side, all bool) report.Diff {
	return report.Compare(report.Revision{Name: s.name, Files: s.params}, report.Revision{Name: now.name, Files: now.params}, all)
}

func (a *app) printDiff(d report.Diff, o formats, l report.Layout) {
	if o.json {
		a.printValue(d.Value())
		return
	}
	l.NoPath, l.Precision = o.noPath, o.precision
	a.printTable(d.Table(l), o.md)
}

// printTable prints a table as text or Markdown.
func (a *app) printTable(t report.Table, markdown bool) {
	if markdown {
		a.printf("%s", t.Markdown())
	} else {
		a.printf("%s", t.Plain())
	}
}

// printValue prints DVC's JSON: one line, indented on a terminal.
func (a *app) printValue(v dvcfile.Value) {
	a.printf("%s\n", report.JSON(v, isTerminal(a.Out)))
}

func (a *app) paramsCommand() *cobra.Command {
	c := &cobra.Command{Use: "params", Short: "Compare parameters"}
	c.AddCommand(a.paramsDiffCommand())
	return c
}

func (a *app) paramsDiffCommand() *cobra.Command {
	var o formats
	so := sideOptions{params: true}
	c := &cobra.Command{
		Use: "diff [A [B]]", Short: "Compare the parameters of two revisions", Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, revs []string) error {
			a.json = o.json
			return a.project(c.Context(), func(p *pipeline.Project) error {
				old, now, err := a.sides(c.Context(), p, revs, so)
				if err != nil {
					return err
				}
				a.printDiff(old.diffParams(now, o.all), o, report.ParamsLayout(old.name, now.name))
				return nil
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.md, "md", false, "print a Markdown table")
	o.diffFlags(f)
	f.BoolVar(&so.depsOnly, "deps", false, "only what stages depend on")
	f.StringArrayVar(&so.targets, "targets", nil, "params `files` to compare")
	return c
}

func (a *app) expDiffCommand() *cobra.Command {
	var o formats
	so := sideOptions{metrics: true, params: true}
	c := &cobra.Command{
		Use: "diff [A [B]]", Short: "Compare two experiments or revisions", Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, revs []string) error {
			a.json = o.json
			return a.project(c.Context(), func(p *pipeline.Project) error {
				old, now, err := a.sides(c.Context(), p, revs, so)
				if err != nil {
					return err
				}
				m, pr := old.diffMetrics(now, o.all), old.diffParams(now, o.all)
				if o.json {
					a.printValue(report.ExpDiffValue(m, pr))
					return nil
				}
				a.printDiff(m, o, report.ExpMetricsLayout(old.name, now.name))
				a.printf("\n")
				a.printDiff(pr, o, report.ExpParamsLayout(old.name, now.name))
				return nil
			})
		},
	}
	f := c.Flags()
	o.flags(f)
	o.diffFlags(f)
	f.BoolVar(&so.depsOnly, "param-deps", false, "only parameters that stages depend on")
	f.Bool("changed-only", true, "only what changed; this is so unless --all is given")
	c.MarkFlagsMutuallyExclusive("all", "changed-only")
	return c
}

// printJSON prints a value of ctrx's own commands, indented on a terminal.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetEscapeHTML(false)
	if isTerminal(a.Out) {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(v)
}
