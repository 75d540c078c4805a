package cli

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ctrx/experiment"
	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/report/plots"
	"ctrx/report/plots/page"
)

func (a *app) plotsCommand() *cobra.Command {
	c := &cobra.Command{Use: "plots", Short: "Show and compare plots"}
	c.AddCommand(a.plotsShowCommand(), a.plotsDiffCommand(), a.plotsModifyCommand(), a.plotsTemplatesCommand())
	return c
}

// plotProps are the flags that say how a plot is drawn.
type plotProps struct {
	template, x, y, title, xLabel, yLabel string
	noHeader                              bool
}

func (o *plotProps) flags(f *pflag.FlagSet) {
	f.StringVarP(&o.template, "template", "t", "", "`template` to draw with: a name, or a file")
	f.StringVarP(&o.x, "x", "x", "", "`field` of the x axis")
	f.StringVarP(&o.y, "y", "y", "", "`field` of the y axis")
	f.BoolVar(&o.noHeader, "no-header", false, "CSV and TSV files have no header line")
	f.StringVar(&o.title, "title", "", "title")
	f.StringVar(&o.xLabel, "x-label", "", "label of the x axis")
	f.StringVar(&o.yLabel, "y-label", "", "label of the y axis")
}

// props gives those that the user set.
func (o *plotProps) props() *dvcfile.Map {
	m := &dvcfile.Map{}
	for _, p := range []struct{ key, text string }{{"template", o.template}, {"x", o.x}, {"y", o.y},
		{"x_label", o.xLabel}, {"y_label", o.yLabel}, {"title", o.title}} {
		if p.text != "" {
			m.Set(p.key, p.text)
		}
	}
	if o.noHeader {
		m.Set("header", false)
	}
	return m
}

// plotOutput are the flags that say where plots go.
type plotOutput struct {
	out, htmlTemplate, svg        string
	json, split, showVega, browse bool
}

func (o *plotOutput) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "", "`folder` for the page (default dvc_plots)")
	f.StringVar(&o.svg, "svg", "", "write each plot as a picture into this `folder`, without a browser")
	f.StringVar(&o.htmlTemplate, "html-template", "", "HTML `file` with {plot_divs} where the plots go")
	f.BoolVar(&o.showVega, "show-vega", false, "print the Vega-Lite spec of the one plot that is named")
	f.BoolVar(&o.browse, "open", false, "open the page in a browser")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.split, "split", false, "with --json: leave anchors in specs and print their values beside them")
	c.MarkFlagsMutuallyExclusive("json", "show-vega", "svg")
}

func (o *plotOutput) check(targets []string) error {
	if o.showVega && len(targets) != 1 {
		return errs.Hint(errs.New(errs.Usage, "--show-vega needs one target, got %d", len(targets)), "ctrx plots show --show-vega FILE")
	}
	return nil
}

func (a *app) plotsShowCommand() *cobra.Command {
	var o plotOutput
	var props plotProps
	c := &cobra.Command{
		Use: "show [targets...]", Short: "Draw plots of the work tree",
		RunE: func(c *cobra.Command, targets []string) error {
			a.json = o.json
			if err := o.check(targets); err != nil {
				return err
			}
			return a.project(c.Context(), func(p *pipeline.Project) error {
				options := pipeline.PlotsOptions{Targets: targets, Props: props.props()}
				return a.showPlots(c.Context(), p, []string{"workspace"}, options, o)
			})
		},
	}
	props.flags(c.Flags())
	o.flags(c)
	return c
}

func (a *app) plotsDiffCommand() *cobra.Command {
	var o plotOutput
	var props plotProps
	var targets []string
	var baseline bool
	c := &cobra.Command{
		Use: "diff [revisions...]", Short: "Draw the plots of several revisions over each other",
		RunE: func(c *cobra.Command, revs []string) error {
			a.json = o.json
			if err := o.check(targets); err != nil && o.showVega {
				return err
			}
			return a.project(c.Context(), func(p *pipeline.Project) error {
				revs, err := experiment.PlotRevisions(c.Context(), p, revs, baseline)
				if err != nil {
					return err
				}
				options := pipeline.PlotsOptions{Targets: targets, Props: props.props()}
				return a.showPlots(c.Context(), p, revs, options, o)
			})
		},
	}
	f := c.Flags()
	props.flags(f)
	o.flags(c)
	f.StringArrayVar(&targets, "targets", nil, "`plots` to draw: files, or names in dvc.yaml")
	f.BoolVarP(&baseline, "experiment", "e", false, "compare the one experiment that is named with its baseline")
	return c
}

// showPlots draws the plots of revisions in the form that was asked for.
func (a *app) showPlots(ctx context.Context, p *pipeline.Project, names []string, options pipeline.PlotsOptions, o plotOutput) error {
	revs, err := a.plotRevisions(ctx, p, names, options, o.json)
	if err != nil {
		return err
	}
	all := plots.Join(revs)
	if len(all) == 0 && len(options.Targets) > 0 {
		return errs.Hint(errs.New(errs.NotFound, "no plot and no file is called '%s'", strings.Join(options.Targets, "', '")), "ctrx plots show draws all plots")
	}
	templates := plots.Templates{Dirs: []string{filepath.Join(p.Root, ".dvc", "plots"), a.Dir}}
	// The command line is wrong then; a template of dvc.yaml costs its own plot only.
	if asked, ok := options.Props.Get("template"); ok {
		if _, err := templates.Get(asked.(string)); err != nil {
			return err
		}
	}
	if o.json {
		saved, err := plots.SaveImages(a.plotFolder(p, o), all)
		if err == nil {
			a.printValue(plots.JSON(revs, all, templates, saved, o.split))
		}
		return err
	}
	for _, plot := range all {
		for _, e := range plot.Errors {
			p.Warn("%v", e)
		}
	}
	all = slices.DeleteFunc(all, func(plot *plots.Plot) bool { return !plot.HasData() })
	switch {
	case o.showVega:
		return a.printVega(all, templates)
	case o.svg != "":
		return a.writeSVG(ctx, all, templates, a.path(o.svg))
	}
	return a.writePlotsPage(ctx, p, all, templates, o)
}

// plotRevisions reads the plots of each revision. For a reader of JSON a
// revision that cannot be read does not hide the others.
func (a *app) plotRevisions(ctx context.Context, p *pipeline.Project, names []string, options pipeline.PlotsOptions, tolerant bool) ([]plots.Revision, error) {
	var revs []plots.Revision
	for _, name := range names {
		r := plots.Revision{Name: name}
		if r.Set, r.Err = plotSet(ctx, p, name, options); r.Err != nil && (!tolerant || ctx.Err() != nil) {
			return nil, r.Err
		}
		revs = append(revs, r)
	}
	return revs, nil
}

func plotSet(ctx context.Context, p *pipeline.Project, rev string, options pipeline.PlotsOptions) (pipeline.PlotSet, error) {
	src, err := experiment.Source(p, rev)
	if err != nil {
		return pipeline.PlotSet{}, err
	}
	ix, err := p.LoadIndex(ctx, src)
	if err != nil {
		return pipeline.PlotSet{}, err
	}
	return p.Plots(ctx, ix, options)
}

// path makes a path of the command line absolute.
func (a *app) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(a.Dir, name)
}

func (a *app) plotFolder(p *pipeline.Project, o plotOutput) string {
	out := o.out
	if out == "" {
		if out, _ = p.Config.Get("plots", "out_dir"); out == "" {
			out = "dvc_plots"
		}
	}
	return a.path(out)
}

func (a *app) printVega(all []*plots.Plot, templates plots.Templates) error {
	for _, plot := range all {
		if len(plot.Points) == 0 {
			continue
		}
		t, err := templates.Get(plot.Template())
		if err != nil {
			return err
		}
		spec, err := plot.Spec(t)
		if err == nil {
			a.printValue(spec)
		}
		return err
	}
	return nil
}

func (a *app) writeSVG(ctx context.Context, all []*plots.Plot, templates plots.Templates, dir string) error {
	pictures, err := plots.Pictures(ctx, all, templates)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, picture := range pictures {
		file := filepath.Join(dir, picture.Name)
		if err := fsx.WriteFile(file, picture.Data, 0o666); err != nil {
			return err
		}
		a.printf("%s\n", file)
	}
	return nil
}

func (a *app) writePlotsPage(ctx context.Context, p *pipeline.Project, all []*plots.Plot, templates plots.Templates, o plotOutput) error {
	if len(all) == 0 {
		p.Warn("No plots were loaded, visualization file will not be created.")
		return nil
	}
	var shown []page.Plot
	for _, plot := range all {
		s, err := plot.Page(templates)
		if err != nil {
			return err
		}
		shown = append(shown, s)
	}
	var b bytes.Buffer
	if template := a.htmlTemplate(p, o); template == "" {
		if err := page.Write(&b, "Plots of "+filepath.Base(p.Root), shown); err != nil {
			return err
		}
	} else {
		text, err := os.ReadFile(template)
		if err != nil {
			return errs.New(errs.NotFound, "read the HTML template: %w", err)
		}
		if err := page.WriteTemplate(&b, text, shown); err != nil {
			return errs.New(errs.ProjectFile, "%s: %w", template, err)
		}
	}
	file := filepath.Join(a.plotFolder(p, o), "index.html")
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	if err := fsx.WriteFile(file, b.Bytes(), 0o666); err != nil {
		return err
	}
	address := (&url.URL{Scheme: "file", Path: filepath.ToSlash(file)}).String()
	a.printf("%s\n", address)
	if auto, _ := p.Config.Get("plots", "auto_open"); o.browse || strings.EqualFold(auto, "true") {
		return a.openBrowser(ctx, address)
	}
	return nil
}

// htmlTemplate is the file to fill: that of the flag, or that of the
// configuration, which is relative to .dvc.
func (a *app) htmlTemplate(p *pipeline.Project, o plotOutput) string {
	if o.htmlTemplate != "" {
		return a.path(o.htmlTemplate)
	}
	file, _ := p.Config.Get("plots", "html_template")
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(p.Root, ".dvc", file)
}

// openBrowser shows an address with the program that the system has for it.
func (a *app) openBrowser(ctx context.Context, address string) error {
	command := map[string][]string{"darwin": {"open"}, "windows": {"rundll32", "url.dll,FileProtocolHandler"}}[runtime.GOOS]
	if command == nil {
		command = []string{"xdg-open"}
	}
	cmd := exec.CommandContext(ctx, command[0], append(command[1:], address)...)
	cmd.Env = a.Env
	if err := cmd.Run(); err != nil {
		return errs.Hint(errs.New(errs.Failed, "open a browser with %s: %w", command[0], err), "open %s yourself", address)
	}
	return nil
}

func (a *app) plotsModifyCommand() *cobra.Command {
	var props plotProps
	var unset []string
	c := &cobra.Command{
		Use: "modify TARGET", Short: "Change how a plot output is drawn", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				if props.template != "" {
					templates := plots.Templates{Dirs: []string{filepath.Join(p.Root, ".dvc", "plots"), a.Dir}}
					if _, err := templates.Get(props.template); err != nil {
						return err
					}
				}
				return p.ModifyPlot(c.Context(), args[0], props.props(), unset)
			})
		},
	}
	f := c.Flags()
	props.flags(f)
	f.StringArrayVar(&unset, "unset", nil, "`properties` to remove")
	return c
}

func (a *app) plotsTemplatesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "templates [NAME]", Short: "List the built-in templates, or print one", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				a.printf("%s\n", strings.Join(plots.BuiltinNames(), "\n"))
				return nil
			}
			spec, err := plots.Builtin(args[0])
			if err == nil {
				a.printValue(spec)
			}
			return err
		},
	}
}
