// Package cli is the command line of ctrx: it turns flags into options, makes
// one call into the library, and prints what comes back as text, a table or
// JSON. It decides nothing.
//
// To add a command, write a file with a method of app that returns the cobra
// command, and name it in newRoot.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ctrx/experiment"
	"ctrx/internal/errs"
	"ctrx/pipeline"
)

// Version of ctrx, and the version of DVC whose files it reads and writes.
const (
	Version    = "0.1.0"
	DVCVersion = "3.67.1"
)

// Streams are what the process has from its surroundings, as values, so that
// tests can hand in their own.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Env      []string
	Dir      string   // working folder
	Program  []string // this program, to start it again as a worker
	Now      func() time.Time
	Rand     *rand.Rand
}

// System gives the surroundings of the real process.
func System() Streams {
	dir, err := os.Getwd()
	if err != nil {
		dir = "."
	}
	program := os.Args[:1:1]
	if exe, err := os.Executable(); err == nil {
		program = []string{exe}
	}
	return Streams{
		Program: program,
		In:      os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Environ(), Dir: dir, Now: time.Now,
		Rand: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(os.Getpid()))),
	}
}

// app is one invocation.
type app struct {
	Streams
	args    []string
	cd      string
	quiet   bool
	verbose bool

	waitForLock bool
	json        bool // set by commands that have --json
	settles     bool // the command also looks after MLflow runs that lost their process
	printer     *printer
}

// Main runs one command line and gives the exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	a := &app{Streams: s, args: args}
	a.printer = newPrinter(s.Out, s.Err, a)
	root := a.newRoot()
	root.SetArgs(negativeValues(root, spreadTargets(args)))
	err := root.ExecuteContext(ctx)
	a.printer.close()
	if err == nil {
		return 0
	}
	if code, ok := errors.AsType[statusCode](err); ok {
		return int(code)
	}
	if ctx.Err() != nil { // what the interruption made fail is a detail of it
		if kind := errs.KindOf(err); kind == errs.Failed || errors.Is(err, context.Canceled) {
			err = errs.New(errs.KindOf(context.Cause(ctx)), "interrupted: %w", err)
		}
	}
	a.printError(err)
	return errs.KindOf(err).ExitCode()
}

// statusCode is a result that is told by the exit code alone, such as
// `status -q` with changes.
type statusCode int

func (c statusCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

func (a *app) newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "ctrx",
		Short:         "Run, cache and track machine-learning pipelines kept in Git",
		Long:          "ctrx runs the stages of a dvc.yaml, keeps data by content hash, pushes it to\nS3-compatible storage and records every run in MLflow. Its files are DVC's files.",
		Version:       DVCVersion + " (ctrx " + Version + ")",
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := c.ValidateFlagGroups(); err != nil { // cobra would do it too, but not as a usage error
				return errs.Hint(errs.New(errs.Usage, "%w", err), "%s --help", c.CommandPath())
			}
			a.settles = looksAfterRuns(c.CommandPath())
			return a.changeDir()
		},
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().BoolP("version", "V", false, "print the DVC version ctrx is compatible with, and its own")
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return errs.Hint(errs.New(errs.Usage, "%w", err), "%s --help", c.CommandPath())
	})
	pf := root.PersistentFlags()
	pf.StringVar(&a.cd, "cd", "", "run as if ctrx was started in this `folder`")
	pf.BoolVar(&a.waitForLock, "wait-for-lock", false, "wait as long as another process works on the project")
	pf.BoolVarP(&a.quiet, "quiet", "q", false, "print results and errors only")
	pf.BoolVarP(&a.verbose, "verbose", "v", false, "accepted for DVC's sake: there is nothing more to print")
	root.AddCommand(
		a.initCommand(), a.installCommand(), a.gitHookCommand(), a.addCommand(), a.checkoutCommand(), a.statusCommand(), a.dataCommand(), a.diffCommand(), a.moveCommand(), a.removeCommand(), a.unprotectCommand(), a.gcCommand(), a.fsckCommand(), a.importCommand(), a.importURLCommand(), a.updateCommand(), a.getCommand(), a.getURLCommand(),
		a.listCommand(), a.listURLCommand(), a.duCommand(), a.rootCommand(), a.checkIgnoreCommand(), a.destroyCommand(), a.artifactsCommand(), a.cacheCommand(), a.reproCommand(), a.whyCommand(), a.logsCommand(),
		a.stageCommand(), a.freezeCommand("freeze", "Keep stages from running, whatever changes", true),
		a.freezeCommand("unfreeze", "Let frozen stages run again", false), a.commitCommand(), a.dagCommand(),
		a.pushCommand(), a.fetchCommand(), a.pullCommand(), a.remoteCommand(), a.configCommand(),
		a.metricsCommand(), a.paramsCommand(), a.plotsCommand(), a.expCommand(), a.queueCommand(), a.runsCommand(), a.trackingCommand(), a.serverCommand(), a.uiCommand(),
		a.versionCommand(), a.doctorCommand(), a.genCommand(), exitCodesTopic(),
	)
	addShellFlag(root)
	setUsageErrors(root)
	return root
}

// spreadTargets lets --targets and --unset take all words up to the next flag, as
// DVC's do: "--targets a b" becomes "--targets a --targets b".
func spreadTargets(args []string) []string {
	var out []string
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if i >= 2 && !strings.HasPrefix(arg, "-") && len(out) >= 2 && (slices.Contains([]string{"--targets", "--unset", "--projects", "--remote-config", "--fs-config"}, out[len(out)-2])) {
			out = append(out, out[len(out)-2])
		}
		out = append(out, arg)
	}
	return out
}

// negativeValues lets a number such as -1 be the value of an option of the config,
// as in DVC: "config a.b -1 --local" becomes "config a.b --local -- -1".
func negativeValues(root *cobra.Command, args []string) []string {
	c, _, err := root.Find(args)
	if err != nil || !slices.ContainsFunc(args, isNegative) || !slices.Contains([]string{"ctrx config", "ctrx remote modify"}, c.CommandPath()) {
		return args
	}
	var flags, values []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case arg == "--":
			values = append(values, args[i+1:]...)
			i = len(args)
		case isNegative(arg) || len(values) > 0 && !strings.HasPrefix(arg, "-"):
			values = append(values, arg)
		case takesNext(c, arg) && i+1 < len(args):
			flags = append(flags, arg, args[i+1])
			i++
		default:
			flags = append(flags, arg)
		}
	}
	return append(append(flags, "--"), values...)
}

// isNegative tells the numbers that Python's argparse takes for arguments.
func isNegative(arg string) bool {
	whole, fraction, isFraction := strings.Cut(strings.TrimPrefix(arg, "-"), ".")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	return strings.HasPrefix(arg, "-") && digits(whole+fraction) && (isFraction && fraction != "" || !isFraction && whole != "")
}

// takesNext tells whether the argument is a flag --NAME whose value is the next one.
func takesNext(c *cobra.Command, arg string) bool {
	name, isLong := strings.CutPrefix(arg, "--")
	f := c.Flag(name)
	return isLong && f != nil && f.NoOptDefVal == ""
}

// setUsageErrors makes wrong arguments of every command usage errors, and an
// unknown sub-command an error instead of a help page.
func setUsageErrors(c *cobra.Command) {
	c.SuggestionsMinimumDistance = 2
	if c.HasSubCommands() && c.RunE == nil {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			err := errs.New(errs.Usage, "unknown command %q for %q", args[0], c.CommandPath())
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				return errs.Hint(err, "did you mean: %s %s", c.CommandPath(), near[0])
			}
			return errs.Hint(err, "%s --help", c.CommandPath())
		}
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return errs.Hint(errs.New(errs.Usage, "%w", err), "%s --help", c.CommandPath())
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		setUsageErrors(sub)
	}
}

func (a *app) changeDir() error {
	if a.cd != "" {
		if !filepath.IsAbs(a.cd) {
			a.cd = filepath.Join(a.Dir, a.cd)
		}
		a.Dir = a.cd
	}
	if info, err := os.Stat(a.Dir); err != nil || !info.IsDir() {
		return errs.New(errs.NotFound, "%s is not a folder", a.Dir)
	}
	return nil
}

// project opens the project of the working folder and runs f with it.
func (a *app) project(ctx context.Context, f func(*pipeline.Project) error) error {
	p, err := pipeline.Open(ctx, pipeline.OpenOptions{Dir: a.Dir, Args: a.args, Env: a.Env, Sink: a.printer, Now: a.Now, Ask: a.ask(), WaitForLock: a.waitForLock})
	if err != nil {
		return err
	}
	err = f(p)
	if err == nil && a.settles {
		err = experiment.EndDeadRuns(ctx, p, a.trackOptions(p))
	}
	return errors.Join(err, p.Close())
}

// looksAfterRuns names the commands that give MLflow runs of killed processes
// their end: those that change something about experiments or the queue. The
// ones that run something do it as part of the run.
func looksAfterRuns(command string) bool {
	group, name, _ := strings.Cut(strings.TrimPrefix(command, "ctrx "), " ")
	switch group {
	case "exp":
		return slices.Contains([]string{"apply", "branch", "clean", "pull", "push", "remove", "rename", "save"}, name)
	case "queue":
		return slices.Contains([]string{"kill", "pause", "remove", "resume", "retry", "start", "stop", "worker"}, name)
	}
	return false
}

func (a *app) stdio() pipeline.Stdio {
	return pipeline.Stdio{In: a.In, Out: a.Out, Err: a.Err, Terminal: isTerminal(a.Out)}
}

// printf writes a result to standard output.
func (a *app) printf(format string, args ...any) {
	a.printer.close()
	fmt.Fprintf(a.Out, format, args...)
}
