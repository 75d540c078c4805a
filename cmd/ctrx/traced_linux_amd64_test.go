package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"ctrx/internal/testreq"
)

// tracedRun runs the real program below ptrace(2) and sees each system call that
// changes a file. So a test can end the process, or let the disk be full, at any
// of them, and the program needs no hooks for that.
type tracedRun struct {
	top string // what lies below it is looked at

	// killAt ends the process at a call, before the call does anything. nil:
	// it runs to its end.
	killAt func(change) bool
	// failAt gives the error that a call is to have; 0: it is carried out.
	failAt func(change) syscall.Errno
	// pauseAt holds the process up before a call, while meanwhile runs. It is
	// asked until it says yes.
	pauseAt   func(change) bool
	meanwhile func(pid int)

	// What happened.
	changes []change
	killed  bool
	paused  bool
	failed  []change
	code    int // exit code; -1: killed
	output  string
}

// change is a system call that changes a file. Its name and its path, relative
// to top, without what differs from run to run, are the publish point.
type change struct {
	call string // rename, create, write, sync, chmod, link, symlink, unlink, mkdir, truncate, clone, time
	path string
	nth  int // of this call at this path, from 1
}

func (c change) String() string { return c.call + " " + c.path }

// takesSpace tells the calls that a full disk refuses.
func (c change) takesSpace() bool {
	switch c.call {
	case "create", "write", "sync", "link", "symlink", "mkdir", "clone":
		return true
	}
	return false
}

// needTracing skips where processes cannot be traced.
func needTracing(t *testing.T) {
	t.Helper()
	testreq.NeedTracing(t)
}

// run traces the command. A tracer is a thread: this one ends with the call, and
// what it traces with it.
func (r *tracedRun) run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if cmd.Err != nil {
		t.Fatal(cmd.Err)
	}
	top, err := filepath.EvalSymlinks(r.top)
	check(t, err)
	r.top = top
	out, err := os.Create(filepath.Join(t.TempDir(), "output"))
	check(t, err)
	defer out.Close()
	null, err := os.Open(os.DevNull)
	check(t, err)
	defer null.Close()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		done <- r.trace(cmd, null, out)
	}()
	check(t, <-done)
	text, err := os.ReadFile(out.Name())
	check(t, err)
	r.output = string(text)
}

const (
	ptraceGetSyscallInfo = 0x420e
	ptraceOptionExitKill = 0x100000
	stopAtSyscall        = syscall.SIGTRAP | 0x80
	waitNoThread         = 0x20000000 // only for the children of this thread
)

// syscallInfo is struct ptrace_syscall_info of a call's beginning.
type syscallInfo struct {
	op   uint8 // 1 at the beginning of a call, 2 at its end
	_    [3]uint8
	_    uint32
	_, _ uint64
	nr   uint64
	args [6]uint64
	_    [2]uint64
}

func (r *tracedRun) trace(cmd *exec.Cmd, in, out *os.File) error {
	pid, err := syscall.ForkExec(cmd.Path, cmd.Args, &syscall.ProcAttr{
		Dir: cmd.Dir, Env: cmd.Env, Files: []uintptr{in.Fd(), out.Fd(), out.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	if err != nil {
		return err
	}
	watchdog := time.AfterFunc(time.Minute, func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	defer watchdog.Stop()
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, syscall.WALL, nil); err != nil {
		return err
	}
	if err := syscall.PtraceSetOptions(pid, syscall.PTRACE_O_TRACECLONE|syscall.PTRACE_O_TRACESYSGOOD|ptraceOptionExitKill); err != nil {
		return err
	}
	if err := syscall.PtraceSyscall(pid, 0); err != nil {
		return err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer mem.Close()
	p := tracedProcess{r: r, pid: pid, mem: mem, pending: map[int]syscall.Errno{}, known: map[int]bool{pid: true}, count: map[string]int{}}
	for {
		// By its group: this thread may have other children.
		tid, err := syscall.Wait4(-pid, &status, syscall.WALL|waitNoThread, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		if status.Exited() || status.Signaled() {
			if tid != pid {
				continue
			}
			r.code = status.ExitStatus()
			return nil
		}
		// A thread that is being killed cannot be told anything.
		if err := p.stopped(tid, status); err != nil && !errors.Is(err, syscall.ESRCH) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return err
		}
	}
}

// tracedProcess is the state of a trace.
type tracedProcess struct {
	r       *tracedRun
	pid     int
	mem     *os.File
	pending map[int]syscall.Errno // by thread: what its call is to end with
	known   map[int]bool          // threads
	count   map[string]int
}

// stopped decides on a thread that waits for the tracer, and lets it go on.
func (p *tracedProcess) stopped(tid int, status syscall.WaitStatus) error {
	sig := status.StopSignal()
	switch {
	case sig == stopAtSyscall:
		if err := p.atSyscall(tid); err != nil {
			return err
		}
		sig = 0
	case sig == syscall.SIGTRAP:
		sig = 0
	case sig == syscall.SIGSTOP && !p.known[tid]: // a new thread
		p.known[tid] = true
		sig = 0
	}
	return syscall.PtraceSyscall(tid, int(sig))
}

func (p *tracedProcess) atSyscall(tid int) error {
	var info syscallInfo
	_, _, errno := syscall.Syscall6(syscall.SYS_PTRACE, ptraceGetSyscallInfo, uintptr(tid), unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return errno
	}
	if e, ok := p.pending[tid]; ok && info.op == 2 {
		delete(p.pending, tid)
		return p.setRegs(tid, func(regs *syscall.PtraceRegs) { regs.Rax = uint64(-int64(e)) })
	}
	if info.op != 1 {
		return nil
	}
	c, ok := p.change(tid, info)
	if !ok {
		return nil
	}
	p.count[c.String()]++
	c.nth = p.count[c.String()]
	r := p.r
	r.changes = append(r.changes, c)
	if r.killAt != nil && !r.killed && r.killAt(c) {
		r.killed = true
		return syscall.Kill(p.pid, syscall.SIGKILL)
	}
	if r.pauseAt != nil && !r.paused && r.pauseAt(c) {
		r.paused = true
		r.meanwhile(p.pid)
	}
	if r.failAt != nil {
		if e := r.failAt(c); e != 0 {
			r.failed = append(r.failed, c)
			p.pending[tid] = e
			return p.setRegs(tid, func(regs *syscall.PtraceRegs) { regs.Orig_rax = ^uint64(0) })
		}
	}
	return nil
}

func (p *tracedProcess) setRegs(tid int, set func(*syscall.PtraceRegs)) error {
	var regs syscall.PtraceRegs
	if err := syscall.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	set(&regs)
	return syscall.PtraceSetRegs(tid, &regs)
}

const (
	ioctlClone    = 0x40049409
	sysSyncfs     = 306
	sysRenameat2  = 316
	sysCopyRange  = 326
	sysFchmodat2  = 452
	atCurrentDir  = -100
	createFlag    = syscall.O_CREAT
	temporaryFile = 0x410000 // O_TMPFILE
)

// change tells what a call changes below top.
func (p *tracedProcess) change(tid int, i syscallInfo) (change, bool) {
	at := func(call string, dir, path int) (change, bool) {
		return p.point(call, p.resolve(tid, int32(i.args[dir]), i.args[path]))
	}
	fd := func(call string, n int) (change, bool) {
		path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", p.pid, int32(i.args[n])))
		if err != nil {
			return change{}, false
		}
		return p.point(call, path)
	}
	switch i.nr {
	case syscall.SYS_OPENAT:
		flags := i.args[2]
		if flags&createFlag == 0 && flags&temporaryFile != temporaryFile && flags&syscall.O_TRUNC == 0 {
			return change{}, false
		}
		return at("create", 0, 1)
	case syscall.SYS_RENAMEAT, sysRenameat2:
		return at("rename", 2, 3)
	case syscall.SYS_LINKAT:
		return at("link", 2, 3)
	case syscall.SYS_SYMLINKAT:
		return at("symlink", 1, 2)
	case syscall.SYS_UNLINKAT:
		return at("unlink", 0, 1)
	case syscall.SYS_MKDIRAT:
		return at("mkdir", 0, 1)
	case syscall.SYS_FCHMODAT, sysFchmodat2:
		return at("chmod", 0, 1)
	case syscall.SYS_UTIMENSAT:
		return at("time", 0, 1)
	case syscall.SYS_FCHMOD:
		return fd("chmod", 0)
	case syscall.SYS_WRITE, syscall.SYS_PWRITE64, syscall.SYS_WRITEV, syscall.SYS_SENDFILE:
		return fd("write", 0)
	case sysCopyRange, syscall.SYS_SPLICE:
		return fd("write", 2)
	case syscall.SYS_FTRUNCATE:
		return fd("truncate", 0)
	case syscall.SYS_FSYNC, syscall.SYS_FDATASYNC, sysSyncfs:
		return fd("sync", 0)
	case syscall.SYS_IOCTL:
		if i.args[1] == ioctlClone {
			return fd("clone", 0)
		}
	}
	return change{}, false
}

// resolve gives the path that a call names relative to an open folder.
func (p *tracedProcess) resolve(tid int, dir int32, address uint64) string {
	buf := make([]byte, 4096)
	n, _ := p.mem.ReadAt(buf, int64(address)) // ends at the end of what is mapped
	name, _, _ := strings.Cut(string(buf[:n]), "\x00")
	if filepath.IsAbs(name) {
		return name
	}
	from := fmt.Sprintf("/proc/%d/fd/%d", p.pid, dir)
	if dir == atCurrentDir {
		from = fmt.Sprintf("/proc/%d/cwd", p.pid)
	}
	base, err := os.Readlink(from)
	if err != nil {
		return name
	}
	return filepath.Join(base, name)
}

// varying are the parts of names that differ from run to run, or from object to
// object.
var varying = []struct {
	re *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`\b[0-9a-f]{2}/[0-9a-f]{30}\b`), "OBJECT"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "OBJECT"},
	{regexp.MustCompile(`\b[0-9]{8}T[0-9]{6}\.[0-9]+Z`), "TIME"},
	{regexp.MustCompile(`(/md5)/[0-9a-f]{2}$`), "$1/XX"},
	{regexp.MustCompile(`(/md5)/[0-9a-f]{2}/`), "$1/XX/"},
	{regexp.MustCompile(`[^/]*\.tmp$`), "TMP"},
	{regexp.MustCompile(`/\.ctrx-get-[0-9]+`), "/.ctrx-get-N"},
	{regexp.MustCompile(`[0-9a-f]{12,}`), "HEX"},
}

// point makes a change of a path. Who holds the lock, and when the machine was
// started, is nothing that a user has.
func (p *tracedProcess) point(call, path string) (change, bool) {
	rel, ok := strings.CutPrefix(path, p.r.top+"/")
	if !ok || strings.HasSuffix(rel, "/.dvc/tmp/lock") || strings.HasSuffix(rel, "/.dvc/tmp/btime") {
		return change{}, false
	}
	rel = strings.TrimSuffix(rel, " (deleted)")
	for _, v := range varying {
		rel = v.re.ReplaceAllString(rel, v.as)
	}
	return change{call: call, path: rel}, true
}
