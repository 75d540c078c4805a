// Command ctrx runs the pipeline of a DVC repository, keeps its data by content
// hash, and records runs in MLflow. See README.md.
package main

import (
	"context"
	"os"

	"ctrx/cmd/internal/cli"
	"ctrx/internal/interrupt"
)

func main() {
	collectLater()
	os.Exit(run(cli.System()))
}

// run is one command, ended early by SIGINT and SIGTERM.
func run(s cli.Streams) int {
	ctx, stop := interrupt.Context(context.Background())
	defer stop()
	return cli.Main(ctx, os.Args[1:], s)
}
