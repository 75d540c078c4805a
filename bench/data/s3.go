package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// s3 is push and pull with a real S3 server on this machine.
func (b *bench) s3() (err error) {
	address, stop, err := b.server()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	b.env = append(b.env, "AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=benchbench", "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_REQUEST_CHECKSUM_CALCULATION=when_required", "AWS_RESPONSE_CHECKSUM_VALIDATION=when_required", "AWS_EC2_METADATA_DISABLED=true")
	others := map[string]copier{
		"s5cmd": {"s5cmd", func(from, to string) []string {
			return []string{"--endpoint-url", address, "cp", from + "/*", to + "/"}
		}, func(from, to string) []string {
			return []string{"--endpoint-url", address, "cp", from + "/*", to + "/"}
		}},
		"rclone": {"rclone", rclone(address), rclone(address)},
		"aws":    {"aws", awsCopy(address), awsCopy(address)},
	}
	programs := []string{"ctrx", "dvc"}
	for _, name := range []string{"s5cmd", "rclone", "aws"} {
		if _, err := exec.LookPath(name); err != nil {
			delete(others, name)
		} else {
			programs = append(programs, name)
		}
	}
	var rows []*row
	for _, kind := range []string{"files", "big"} {
		src := filepath.Join(b.tmp, "s3-"+kind)
		work := fmt.Sprintf("%d files of 500 bytes", b.size.remote)
		if kind == "files" {
			err = tree(src, b.size.remote, 500)
		} else {
			work = fmt.Sprintf("one file of %d MiB", b.size.big)
			if err = os.Mkdir(src, 0o777); err == nil {
				err = noise(filepath.Join(src, "big"), b.size.big, 2)
			}
		}
		if err != nil {
			return err
		}
		const goal = "as the fastest copier, ≥ 3 x dvc"
		push, pull := newRow(goal, "`push`, %s", work), newRow(goal, "`pull`, %s", work)
		rows = append(rows, push, pull)
		for run := range b.runs {
			for _, p := range programs {
				bucket := fmt.Sprintf("%s-%s-%d", p, kind, run)
				if err := os.Mkdir(filepath.Join(b.tmp, "s3", bucket), 0o777); err != nil {
					return err
				}
				if other, ok := others[p]; ok {
					err = b.copier(other, src, bucket, push, pull)
				} else {
					err = b.remote(p, src, bucket, address, push, pull)
				}
				if err == nil && kind == "big" {
					err = b.forget(filepath.Join(b.tmp, "s3", bucket), filepath.Join(b.tmp, "s3-"+p+"-"+bucket+"*"), filepath.Join(b.tmp, "down-"+bucket))
				}
				if err != nil {
					return err
				}
			}
		}
	}
	b.columns("## A local S3 server (time, and how many times that of ctrx)", programs, rows...)
	return nil
}

// copier is a program that copies between a folder and an S3 store.
type copier struct {
	program  string
	up, down func(from, to string) []string
}

func rclone(address string) func(from, to string) []string {
	return func(from, to string) []string {
		place := func(s string) string {
			if rest, ok := cutS3(s); ok {
				return ":s3,provider=Other,env_auth=true,endpoint='" + address + "',force_path_style=true:" + rest
			}
			return s
		}
		return []string{"--config", "/dev/null", "--transfers", "16", "copy", place(from), place(to)}
	}
}

func cutS3(s string) (string, bool) {
	const scheme = "s3://"
	if len(s) > len(scheme) && s[:len(scheme)] == scheme {
		return s[len(scheme):], true
	}
	return s, false
}

func awsCopy(address string) func(from, to string) []string {
	return func(from, to string) []string {
		return []string{"--endpoint-url", address, "s3", "cp", "--only-show-errors", "--recursive", from, to}
	}
}

func (b *bench) copier(c copier, src, bucket string, push, pull *row) error {
	up, err := b.timed(b.tmp, c.program, c.up(src, "s3://"+bucket+"/data")...)
	if err != nil {
		return err
	}
	push.add(c.program, up)
	down, err := b.timed(b.tmp, c.program, c.down("s3://"+bucket+"/data", filepath.Join(b.tmp, "down-"+bucket))...)
	pull.add(c.program, down)
	return err
}

// remote is the same with ctrx or DVC. What they pull they also hash and put in
// place, so they write it twice.
func (b *bench) remote(p, src, bucket, address string, push, pull *row) error {
	dir := filepath.Join(b.tmp, "s3-"+p+"-"+bucket)
	if err := b.repository(dir, p); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"remote", "add", "-q", "-f", "-d", "r", "s3://" + bucket + "/data"},
		{"remote", "modify", "r", "endpointurl", address},
		{"remote", "modify", "r", "region", "us-east-1"},
	} {
		if _, err := b.do(dir, p, args...); err != nil {
			return err
		}
	}
	if _, err := b.do(dir, "cp", "-r", src, "data"); err != nil {
		return err
	}
	if _, err := b.do(dir, p, "add", "-q", "data"); err != nil {
		return err
	}
	up, err := b.timed(dir, p, "push", "-q")
	if err != nil {
		return err
	}
	push.add(p, up)
	for _, name := range []string{"data", ".dvc/cache"} {
		if err := os.Rename(filepath.Join(dir, name), dir+"-"+filepath.Base(name)); err != nil {
			return err
		}
	}
	down, err := b.timed(dir, p, "pull", "-q")
	pull.add(p, down)
	return err
}

// server starts versitygw on a free port; buckets are folders below b.tmp/s3.
func (b *bench) server() (address string, stop func() error, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	port := l.Addr().String()
	l.Close()
	dir := filepath.Join(b.tmp, "s3")
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(b.ctx, "versitygw", "--access", "bench", "--secret", "benchbench", "--port", port, "--quiet", "--keep-alive", "posix", dir)
	log, err := os.Create(filepath.Join(b.tmp, "server.log"))
	if err != nil {
		return "", nil, err
	}
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, b.env
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() error {
		cmd.Process.Kill()
		cmd.Wait()
		return log.Close()
	}
	for range 100 {
		if c, err := net.Dial("tcp", port); err == nil {
			return "http://" + port, stop, c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return "", nil, errors.Join(errors.New("versitygw does not answer"), stop())
}
