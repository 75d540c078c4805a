package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// tree makes n files of size bytes each in 100 folders, all different.
func tree(dir string, n, size int) error {
	data := make([]byte, size)
	for i := range n {
		name := filepath.Join(dir, fmt.Sprintf("%02d", i%100), fmt.Sprint(i))
		if i < 100 {
			if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
				return err
			}
		}
		for at := 0; at < size; {
			at += copy(data[at:], fmt.Sprintln(i))
		}
		if err := os.WriteFile(name, data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// noise makes a file of random bytes.
func noise(name string, mib int, seed uint64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	if _, err := io.CopyN(f, random, int64(mib)<<20); err != nil {
		return err
	}
	return f.Close()
}

// small is a folder of many small files through all that happens to it.
func (b *bench) small() error {
	n := b.size.files
	src := filepath.Join(b.tmp, "src")
	if err := tree(src, n, 500); err != nil {
		return err
	}
	add := newRow("≤ 1.5 x cp, ≥ 3 x dvc, ≤ 150 MiB", "`add`")
	status := newRow("≥ 10 x dvc", "`status`, nothing changed")
	again := newRow("≥ 10 x dvc", "`add` after one file changed")
	push := newRow("≥ 3 x dvc", "`push` to a folder")
	fetch := newRow("≥ 3 x dvc", "`fetch` from a folder")
	checkout := newRow("≥ 3 x dvc", "`checkout`")
	err := b.each(func(run int, p, dir string) error {
		if p == "ctrx" {
			if err := b.copied(add, src, filepath.Join(b.tmp, fmt.Sprintf("copy-%d", run))); err != nil {
				return err
			}
		}
		if err := b.repository(dir, p); err != nil {
			return err
		}
		if _, err := b.do(dir, "cp", "-r", src, "data"); err != nil {
			return err
		}
		away := func(name string) error { // gone, but nothing is freed
			return os.Rename(filepath.Join(dir, name), dir+"-"+filepath.Base(name)+fmt.Sprint(time.Now().UnixNano()))
		}
		steps := []struct {
			row     *row
			prepare func() error
			args    []string
		}{
			{add, func() error { return nil }, []string{"add", "-q", "data"}},
			{nil, func() error { return nil }, []string{"status", "-q"}},
			{status, func() error { return nil }, []string{"status", "-q"}},
			{status, func() error { return nil }, []string{"status", "-q"}},
			{status, func() error { return nil }, []string{"status", "-q"}},
			{again, func() error {
				return os.WriteFile(filepath.Join(dir, "data", "07", "7"), []byte(fmt.Sprintln("changed", run)), 0o666)
			}, []string{"add", "-q", "data"}},
			{push, func() error { return nil }, []string{"push", "-q"}},
			{fetch, func() error { return away(".dvc/cache") }, []string{"fetch", "-q"}},
			{checkout, func() error { return away("data") }, []string{"checkout", "-q"}},
		}
		for _, s := range steps {
			if err := s.prepare(); err != nil {
				return err
			}
			c, err := b.timed(dir, p, s.args...)
			if err != nil {
				return err
			}
			if s.row != nil {
				s.row.add(p, c)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range []*row{push, fetch, checkout} {
		r.costs["cp"], r.costs["cp+sync"] = add.costs["cp"], add.costs["cp+sync"]
	}
	b.table(fmt.Sprintf("## %d files of 500 bytes in 100 folders", n), add, status, again, push, fetch, checkout)
	return nil
}

// bigFile is one large file.
func (b *bench) bigFile() error {
	src := filepath.Join(b.tmp, "big")
	if err := noise(src, b.size.big, 1); err != nil {
		return err
	}
	const goal = "≤ 1.3 x cp"
	add, push, fetch := newRow(goal, "`add`"), newRow(goal, "`push` to a folder"), newRow(goal, "`fetch` from a folder")
	err := b.each(func(run int, p, dir string) error {
		if err := b.repository(dir, p); err != nil {
			return err
		}
		if _, err := b.do(dir, "cp", src, "data"); err != nil {
			return err
		}
		for i, s := range []struct {
			row  *row
			args []string
		}{{add, []string{"add", "-q", "data"}}, {push, []string{"push", "-q"}}, {fetch, []string{"fetch", "-q"}}} {
			if p == "ctrx" {
				to := filepath.Join(b.tmp, fmt.Sprintf("big-%d-%d", run, i))
				if err := b.copied(s.row, src, to); err != nil {
					return err
				}
			}
			if s.row == fetch {
				if err := os.Rename(filepath.Join(dir, ".dvc", "cache"), dir+"-cache"); err != nil {
					return err
				}
			}
			c, err := b.timed(dir, p, s.args...)
			if err != nil {
				return err
			}
			s.row.add(p, c)
		}
		return b.forget(dir+"*", filepath.Join(b.tmp, "big-*"))
	})
	if err != nil {
		return err
	}
	b.table(fmt.Sprintf("## One file of %d MiB", b.size.big), add, push, fetch)
	return nil
}

// forget deletes what large files left, where the disk might not hold them all.
func (b *bench) forget(patterns ...string) error {
	for _, pattern := range patterns {
		names, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := os.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// start is what each command costs.
func (b *bench) start() error {
	const goal = "≥ 10 x dvc"
	version, status := newRow(goal, "`--version`"), newRow(goal, "`status` in an empty repository")
	err := b.each(func(run int, p, dir string) error {
		if err := b.repository(dir, p); err != nil {
			return err
		}
		for range 3 {
			for r, arg := range map[*row]string{version: "--version", status: "status"} {
				c, err := b.do(dir, p, arg)
				if err != nil {
					return err
				}
				r.add(p, c)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.table("## Start", version, status)
	return nil
}

// grow shows that the cost of a file does not depend on how many there are.
func (b *bench) grow() error {
	fmt.Fprintf(b.out, "\n## Growth (ctrx, files of 100 bytes in 100 folders, one run)\n\n| files | cp -r | `add` | for a file | memory | `status` | for a file | memory |\n|---|---|---|---|---|---|---|---|\n")
	for _, n := range b.size.growth {
		dir := filepath.Join(b.tmp, fmt.Sprint("growth-", n))
		if err := b.repository(dir, "ctrx"); err != nil {
			return err
		}
		if err := tree(filepath.Join(dir, "data"), n, 100); err != nil {
			return err
		}
		limit, err := b.timed(dir, "cp", "-r", "data", "../growth-copy-"+fmt.Sprint(n))
		if err != nil {
			return err
		}
		add, err := b.timed(dir, "ctrx", "add", "-q", "data")
		if err != nil {
			return err
		}
		status, err := b.timed(dir, "ctrx", "status", "-q")
		if err != nil {
			return err
		}
		fmt.Fprintf(b.out, "| %d | %s | %s | %s | %s | %s | %s | %s |\n", n, show(limit.wall),
			show(add.wall), perFile(add.wall, n), mib(add.rss), show(status.wall), perFile(status.wall, n), mib(status.rss))
	}
	return nil
}

func perFile(d time.Duration, n int) string {
	return fmt.Sprintf("%.1f µs", float64(d)/1e3/float64(n))
}
