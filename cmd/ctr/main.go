// Command ctr has the Go stages of the click-through-rate example: dataset,
// featurize and evaluate. dvc.yaml in the project's root says what each reads
// and writes; the work is done by package ctr.
//
// A failure prints one line and ends with exit code 1, wrong usage with 3, an
// interruption with 130. Outputs appear complete or not at all.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

const usage = `usage: ctr STAGE [flags]

stages:
  dataset    read or make the rows, and split them into training and test data
  featurize  fit the features on the training data, and apply them to both
  evaluate   predict the test data with a model, and judge the predictions

ctr STAGE -h lists the flags of a stage.
`

// errUsage is returned where the flag package has said what is wrong.
var errUsage = errors.New("usage")

// stage is one subcommand: it parses its arguments, works, and says on stdout
// what came out.
type stage func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// run is the program, with its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 3
	}
	var work stage
	switch args[0] {
	case "dataset":
		work = dataset
	case "featurize":
		work = featurize
	case "evaluate":
		work = evaluate
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return 0
	default:
		fmt.Fprintf(stderr, "error: unknown stage %q\n%s", args[0], usage)
		return 3
	}
	switch err := work(ctx, args[1:], stdout, stderr); {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 3
	case errors.Is(err, context.Canceled):
		fmt.Fprintf(stderr, "error: %s: interrupted\n", args[0])
		return 130
	default:
		fmt.Fprintf(stderr, "error: %s: %v\n", args[0], err)
		return 1
	}
}

// parse reads the flags of a stage, which takes no other arguments.
func parse(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(stderr)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "unexpected argument %q\n", flags.Arg(0))
		flags.Usage()
		return errUsage
	}
	return nil
}
