package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ctrx/cmd/internal/cli"
	"ctrx/internal/process"
	"ctrx/internal/testreq"
)

// TestMain lets the scripts call `ctrx` as a program that is this test binary,
// so that what they run counts as covered.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ctrx": func() { os.Exit(ctrx()) }, "gone": func() { os.Exit(gone(os.Args[1:])) }})
}

// gone PID...: a program for scripts that waits until none of the processes is there.
func gone(pids []string) int {
	if len(pids) == 0 {
		fmt.Fprintln(os.Stderr, "usage: gone PID...")
		return 3
	}
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 3
		}
		for n := 0; process.Alive(pid); n++ {
			if n > 6000 { // at least five minutes
				fmt.Fprintf(os.Stderr, "process %d does not end\n", pid)
				return 1
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return 0
}

// ctrx is main with a seed that does not change from run to run.
func ctrx() int {
	s := cli.System()
	s.Rand = rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	return run(s)
}

// TestScripts runs the command line's specification: one script per command
// and one per kind of bad input. They need Git only.
func TestScripts(t *testing.T) { runScripts(t, "testdata/script") }

// TestInterop runs ctrx together with the real dvc, mlflow and an S3 server.
func TestInterop(t *testing.T) { runScripts(t, "testdata/interop") }

// scriptCmd is a command of our own for scripts. A server that it starts ends
// with the test at the latest.
type scriptCmd func(ctx context.Context, ts *testscript.TestScript, neg bool, args []string)

func runScripts(t *testing.T, dir string) {
	own := ownServers{running: map[*testscript.TestScript]ownServer{}}
	cmds := map[string]func(ts *testscript.TestScript, neg bool, args []string){}
	for name, cmd := range map[string]scriptCmd{"exits": exits, "repo": repo, "s3server": s3server, "s3put": s3put, "sshserver": sshServer, "webserver": webServer, "mlflowserver": mlflowServer, "ctrxserver": own.start, "stopserver": own.stop} {
		cmds[name] = func(ts *testscript.TestScript, neg bool, args []string) { cmd(t.Context(), ts, neg, args) }
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Setup:               setup,
		Cmds:                cmds,
		Condition: func(name string) (bool, error) {
			r := testreq.Requirement(name)
			switch r {
			case testreq.DVC, testreq.MLflow, testreq.S3, testreq.Python, testreq.SSH:
				if !testreq.Have(r) && testreq.Required(r) {
					t.Errorf("%s is not on PATH, and %s forbids to skip", name, testreq.Env)
				}
				return testreq.Have(r), nil
			}
			if name == "venv" { // python3 that can make environments with pip in them
				have := exec.CommandContext(t.Context(), "python3", "-c", "import venv, ensurepip").Run() == nil
				if !have && testreq.Required(testreq.Python) {
					t.Errorf("python3 has no venv, and %s forbids to skip", testreq.Env)
				}
				return have, nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
	})
}

// setup gives each script a home and an identity of its own, and nothing of
// the user's servers and accounts.
func setup(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, ".home")
	if err := os.MkdirAll(home, 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(home, ".gitignore"), []byte("*\n"), 0o666); err != nil {
		return err
	}
	env.Setenv("HOME", home)
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	env.Setenv("SHELL", "/bin/sh")
	env.Setenv("DVC_NO_ANALYTICS", "1")
	env.Setenv("DVC_SITE_CACHE_DIR", filepath.Join(home, "dvc-site"))
	env.Setenv("DVC_SYSTEM_CONFIG_DIR", filepath.Join(home, "dvc-system"))
	env.Setenv("MLFLOW_DISABLE_TELEMETRY", "true")
	// A server that a busy machine lets answer late would be in trouble for a run.
	env.Setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
	for _, who := range []string{"AUTHOR", "COMMITTER"} {
		env.Setenv("GIT_"+who+"_NAME", "t")
		env.Setenv("GIT_"+who+"_EMAIL", "t@example.com")
	}
	for _, kv := range os.Environ() { // where Go and Python keep what they compiled
		if k, v, _ := strings.Cut(kv, "="); k == "GOCACHE" || k == "GOFLAGS" || k == "GORACE" || k == "AWS_CA_BUNDLE" {
			env.Setenv(k, v)
		}
	}
	return nil
}

// exits CODE PROGRAM ARGS...: the program must end with exactly this code.
func exits(_ context.Context, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	script := `"$@"; echo exit code $? >&2`
	ts.Check(ts.Exec("sh", append([]string{"-c", script, "sh"}, args[1:]...)...))
	if got := lastLine(ts.ReadFile("stderr")); got != fmt.Sprintf("exit code %d", want) {
		ts.Fatalf("%s, want %d", got, want)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// repo: makes the current folder a Git repository and a DVC project.
func repo(_ context.Context, ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: repo")
	}
	ts.Check(ts.Exec("git", "init", "-q", "-b", "main"))
	ts.Check(ts.Exec("ctrx", "init", "-q"))
}
