// Package testreq decides whether a test that needs a program from outside Go
// may skip.
//
// Where the program is missing the test is skipped by name; when the variable
// CTRX_TEST_REQUIRE lists the requirement the skip becomes a failure, so that
// continuous integration cannot pass by testing nothing.
package testreq

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// Requirement is a program that a test may need.
type Requirement string

// The requirements, as spelled in CTRX_TEST_REQUIRE (comma separated).
const (
	DVC    Requirement = "dvc"    // the real dvc on PATH
	MLflow Requirement = "mlflow" // the real mlflow on PATH
	S3     Requirement = "s3"     // versitygw on PATH
	Python Requirement = "python" // python3 on PATH
	SSH    Requirement = "ssh"    // OpenSSH's sshd on PATH or in /usr/sbin

	Tmpfs Requirement = "tmpfs" // the right to mount a file system in memory
	Btrfs Requirement = "btrfs" // mkfs.btrfs on PATH, and the right to mount a file
	XFS   Requirement = "xfs"   // mkfs.xfs on PATH, and the right to mount a file
	Trace Requirement = "trace" // a Linux on AMD64 that lets a process trace its children

	// Browser is a headless Chromium on PATH, by any of its names, or the
	// program that CTRX_BROWSER names.
	Browser Requirement = "browser"
)

// Env is the variable that turns skips into failures.
const Env = "CTRX_TEST_REQUIRE"

// BrowserEnv names the browser to test with, where it is not on PATH.
const BrowserEnv = "CTRX_BROWSER"

// Have tells whether the requirement is met on this machine.
func Have(r Requirement) bool { return Program(r) != "" }

// Program is the path of the program that meets the requirement; empty where
// there is none.
func Program(r Requirement) string {
	programs := map[Requirement][]string{
		DVC: {"dvc"}, MLflow: {"mlflow"}, S3: {"versitygw"}, Python: {"python3"}, SSH: {"sshd", "/usr/sbin/sshd"},
		Browser: {"chromium", "chromium-browser", "google-chrome"},
	}[r]
	if named := os.Getenv(BrowserEnv); r == Browser && named != "" {
		programs = []string{named}
	}
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path
		}
	}
	return ""
}

// Required tells whether the requirement may not be missing.
func Required(r Requirement) bool {
	return slices.Contains(strings.Split(os.Getenv(Env), ","), string(r))
}

// Need skips the test where a requirement is missing, or fails it when the
// requirement is listed in CTRX_TEST_REQUIRE.
func Need(t testing.TB, rs ...Requirement) {
	t.Helper()
	for _, r := range rs {
		if !Have(r) {
			missing(t, r, string(r)+" is not on PATH")
		}
	}
}

// NeedModules is Need(Python) plus importable Python modules.
func NeedModules(t testing.TB, modules ...string) {
	t.Helper()
	Need(t, Python)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	script := "import importlib.util, sys; sys.exit(any(importlib.util.find_spec(m) is None for m in sys.argv[1:]))"
	if err := exec.CommandContext(ctx, "python3", append([]string{"-c", script}, modules...)...).Run(); err != nil {
		missing(t, Python, "python3 lacks one of the modules "+strings.Join(modules, ", "))
	}
}

// NeedPackages is Need(Python) plus a pip that can make environments and fetch
// these packages ("name==1.2").
func NeedPackages(t testing.TB, packages ...string) {
	t.Helper()
	Need(t, Python)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	args := append([]string{"-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--retries", "1", "--dest", t.TempDir()}, packages...)
	if exec.CommandContext(ctx, "python3", "-c", "import venv, ensurepip").Run() != nil || exec.CommandContext(ctx, "python3", args...).Run() != nil {
		missing(t, Python, "python3 cannot make an environment with "+strings.Join(packages, ", "))
	}
}

// NeedTracing skips the test, or fails it when Trace is required, where ptrace(2)
// is refused.
func NeedTracing(t testing.TB) {
	t.Helper()
	if err := canTrace(t.Context()); err != nil {
		missing(t, Trace, "processes cannot be traced: "+err.Error())
	}
}

func missing(t testing.TB, r Requirement, why string) {
	t.Helper()
	if Required(r) {
		t.Fatalf("%s, and %s=%s forbids to skip", why, Env, os.Getenv(Env))
	}
	t.Skip(why)
}
