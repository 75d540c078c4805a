package testreq

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Mount makes an empty file system of so many bytes and gives the folder that it
// is mounted at until the test ends: Tmpfs in memory; Btrfs and XFS, which can
// share blocks between files, in a file (at least 300 MiB, most of it a hole).
// Where that cannot be done the test is skipped, as by Need.
func Mount(t testing.TB, fs Requirement, size int64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), string(fs))
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := mountRun(t.Context(), args...); err != nil {
			missing(t, fs, strings.Join(args, " ")+": "+err.Error()+": "+out)
		}
	}
	if fs == Tmpfs {
		run("mount", "-t", "tmpfs", "-o", "size="+strconv.FormatInt(size, 10), "tmpfs", dir)
	} else {
		image := dir + ".image"
		f, err := os.Create(image)
		if err == nil {
			err = f.Truncate(size)
			f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		run("mkfs."+string(fs), "-q", image)
		run("mount", "-o", "loop", image, dir)
	}
	t.Cleanup(func() {
		// Not the test's context, which has ended.
		if out, err := mountRun(context.WithoutCancel(t.Context()), "umount", dir); err != nil {
			out2, err2 := mountRun(context.WithoutCancel(t.Context()), "umount", "-l", dir)
			t.Errorf("umount: %v: %s; umount -l: %v: %s", err, out, err2, out2)
		}
	})
	return dir
}

// Resize gives a Tmpfs of Mount another size.
func Resize(t testing.TB, dir string, size int64) {
	t.Helper()
	if out, err := mountRun(t.Context(), "mount", "-o", "remount,size="+strconv.FormatInt(size, 10), dir); err != nil {
		t.Fatalf("remount: %v: %s", err, out)
	}
}

func mountRun(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
