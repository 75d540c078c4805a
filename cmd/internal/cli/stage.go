package cli

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

func (a *app) stageCommand() *cobra.Command {
	c := &cobra.Command{Use: "stage", Short: "Add stages to dvc.yaml, and list them"}
	c.AddCommand(a.stageAddCommand(), a.stageListCommand())
	return c
}

func (a *app) stageAddCommand() *cobra.Command {
	var spec pipeline.StageSpec
	var run bool
	c := &cobra.Command{
		Use: "add -n NAME [flags] COMMAND...", Short: "Write a stage into dvc.yaml",
		Example: "  ctrx stage add -n train -d train.py -p train.lr,train.epochs -o model.bin -M metrics.json 'python train.py'",
		RunE: func(c *cobra.Command, args []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				spec.Cmd = commandLine(args)
				s, err := p.AddStage(c.Context(), spec)
				if err == nil && run {
					o := pipeline.ExecuteOptions{PlanOptions: pipeline.PlanOptions{Targets: []string{s.Address(p.Dir)}, SingleItem: true}, Stdio: a.stdio()}
					_, err = experiment.Repro(c.Context(), p, experiment.ReproOptions{ExecuteOptions: o, Tracking: experiment.TrackOptions{Off: true}})
				}
				if err != nil {
					return err
				}
				return p.OfferToTrack(c.Context())
			})
		},
	}
	f := c.Flags()
	f.SetInterspersed(false) // what follows the command belongs to it
	f.StringVarP(&spec.Name, "name", "n", "", "`name` of the stage")
	f.BoolVarP(&spec.Force, "force", "f", false, "replace a stage of this name")
	f.StringArrayVarP(&spec.Deps, "deps", "d", nil, "`path` that the command reads; may be repeated, as those below")
	f.StringArrayVarP(&spec.Params, "params", "p", nil, "parameters that it reads: [`FILE:]KEY,...`")
	for _, out := range []struct {
		long, short, usage string
		kind               dvcfile.Kind
		noCache, persist   bool
	}{
		{"outs", "o", "`path` that it writes", dvcfile.Out, false, false},
		{"outs-no-cache", "O", "`path` that it writes and Git keeps", dvcfile.Out, true, false},
		{"outs-persist", "", "`path` that it writes, not removed before it runs", dvcfile.Out, false, true},
		{"outs-persist-no-cache", "", "`path` that it writes and Git keeps, not removed before it runs", dvcfile.Out, true, true},
		{"metrics", "m", "`path` of a metrics file that it writes", dvcfile.Metric, false, false},
		{"metrics-no-cache", "M", "`path` of a metrics file that it writes and Git keeps", dvcfile.Metric, true, false},
		{"plots", "", "`path` of a plots file that it writes", dvcfile.Plot, false, false},
		{"plots-no-cache", "", "`path` of a plots file that it writes and Git keeps", dvcfile.Plot, true, false},
	} {
		f.VarP(outputFlag{&spec.Outs, pipeline.OutputSpec{Kind: out.kind, NoCache: out.noCache, Persist: out.persist}}, out.long, out.short, out.usage)
	}
	f.StringVarP(&spec.WDir, "wdir", "w", "", "`folder` in which it runs; paths are relative to it")
	f.BoolVar(&spec.AlwaysChanged, "always-changed", false, "run it every time")
	f.StringVar(&spec.Desc, "desc", "", "`text` that says what it is for")
	f.BoolVar(&run, "run", false, "run the stage at once")
	return c
}

// outputFlag adds outputs of one sort to a list that keeps the order of all.
type outputFlag struct {
	outs *[]pipeline.OutputSpec
	like pipeline.OutputSpec
}

func (f outputFlag) String() string { return "" }
func (f outputFlag) Type() string   { return "stringArray" }
func (f outputFlag) Set(path string) error {
	f.like.Path = path
	*f.outs = append(*f.outs, f.like)
	return nil
}

// commandLine puts the words of a command together; what the shell that
// started ctrx took the quotes from gets them back.
func commandLine(args []string) string {
	if len(args) < 2 {
		return strings.Join(args, "")
	}
	words := make([]string, len(args))
	for i, w := range args {
		switch {
		case w == "":
			w = `""`
		case strings.Contains(w, " ") && !strings.Contains(w, `"`):
			w = `"` + w + `"`
		}
		words[i] = w
	}
	return strings.Join(words, " ")
}

func (a *app) stageListCommand() *cobra.Command {
	var o pipeline.StageListOptions
	var nameOnly, asJSON bool
	c := &cobra.Command{
		Use: "list [targets...]", Aliases: []string{"ls"}, Short: "List stages",
		RunE: func(c *cobra.Command, targets []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.Targets = targets
				stages, err := p.ListStages(c.Context(), o)
				if err != nil {
					return err
				}
				rows := [][]string{}
				for _, s := range stages {
					row := []string{s.Address(p.Dir), ""}
					if !nameOnly {
						row[1] = shortened(s.Summary(), 80)
					}
					rows = append(rows, row)
				}
				if asJSON {
					return a.printJSON(stagesJSON(rows))
				}
				a.printf("%s", a.table(rows))
				return nil
			})
		},
	}
	f := c.Flags()
	f.BoolVar(&o.All, "all", false, "stages of the whole project")
	f.BoolVar(&o.Fail, "fail", false, "fail at a file that cannot be read, instead of leaving it out")
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "targets are folders: every stage file below them")
	f.BoolVar(&nameOnly, "name-only", false, "print names only")
	f.BoolVar(&nameOnly, "names-only", false, "print names only")
	_ = f.MarkHidden("names-only")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func stagesJSON(rows [][]string) any {
	out := []map[string]string{}
	for _, r := range rows {
		out = append(out, map[string]string{"stage": r[0], "summary": r[1]})
	}
	return out
}

// shortened cuts a text to a number of characters, the last one an ellipsis.
func shortened(text string, length int) string {
	if utf8.RuneCountInString(text) <= length {
		return text
	}
	return string([]rune(text)[:length-1]) + "…"
}

func (a *app) freezeCommand(use, short string, frozen bool) *cobra.Command {
	return &cobra.Command{
		Use: use + " targets...", Short: short, Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, targets []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error { return p.SetFrozen(c.Context(), targets, frozen) })
		},
	}
}

func (a *app) commitCommand() *cobra.Command {
	var o pipeline.RecordOptions
	c := &cobra.Command{
		Use: "commit [targets...]", Short: "Record stages and data as they are now, without running anything",
		RunE: func(c *cobra.Command, targets []string) error {
			return a.project(c.Context(), func(p *pipeline.Project) error {
				o.Targets = targets
				if isTerminal(a.Out) {
					o.Confirm = a.confirmCommit
				}
				return p.Record(c.Context(), o)
			})
		},
	}
	f := c.Flags()
	f.BoolVarP(&o.Force, "force", "f", false, "record what changed without asking")
	f.BoolVarP(&o.WithDeps, "with-deps", "d", false, "also what the targets depend on")
	f.BoolVarP(&o.Recursive, "recursive", "R", false, "targets are folders: every stage file below them")
	f.BoolVar(&o.DataOnly, "data-only", false, "only data that no stage makes")
	f.BoolVar(&o.NoRelink, "no-relink", false, "leave the files of the work tree as they are")
	return c
}

// confirmCommit asks whether a changed stage is to be recorded.
func (a *app) confirmCommit(stage string, changes []pipeline.Change) (bool, error) {
	var what []string
	for _, c := range changes {
		if text := c.String(); !slices.Contains(what, text) {
			what = append(what, text)
		}
	}
	a.printf("stage '%s': %s. Are you sure you want to commit it? [y/n] ", stage, strings.Join(what, "; "))
	answer, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && answer == "" {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes", nil
}
