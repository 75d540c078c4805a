package ui

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/internal/event"
	"ctrx/internal/fsx"
)

// InstallOptions say which interface of MLflow is to be copied into the user's
// cache.
type InstallOptions struct {
	Version string // "": Version
	Wheel   string // a wheel file to take it from; "": the package index is asked
	Cache   string // see CacheDir
	Env     func(string) string
	Sink    event.Sink

	Transport http.RoundTripper // nil: built from the environment's proxy and from pip's certificate
}

// Installed is a copy of MLflow's interface in the user's cache.
type Installed struct {
	Version string
	Dir     string
	Files   int
	Already bool // it was there before
	Tested  bool // the version is one that --ui auto takes
}

// Limits of a wheel: MLflow 3.17.2 has 415 files with 27 MB in it.
const (
	maxFiles = 5000
	maxBytes = 400 << 20
	maxWheel = 300 << 20
)

// Install fetches the wheel of a version of MLflow from the index that pip would
// ask, checks it against the digest of the index, and keeps its interface alone.
// The copy appears in one step, complete.
func Install(ctx context.Context, o InstallOptions) (*Installed, error) {
	if o.Cache == "" {
		return nil, errs.Hint(errs.New(errs.Usage, "there is no cache folder: neither XDG_CACHE_HOME nor HOME is set"), "XDG_CACHE_HOME=FOLDER ctrx ui install")
	}
	if o.Version == "" {
		o.Version = Version
	}
	if _, ok := number(o.Version); !ok || o.Version != filepath.Base(o.Version) {
		return nil, errs.Hint(errs.New(errs.Usage, "'%s' is no version of MLflow", o.Version), "ctrx ui install --version %s", Version)
	}
	lock, err := fsx.Lock(ctx, filepath.Join(o.Cache, "lock"), 10*time.Minute)
	if err != nil {
		return nil, fmt.Errorf("install MLflow's interface: %w", err)
	}
	in, err := o.install(ctx)
	return in, errors.Join(err, lock.Unlock())
}

func (o InstallOptions) install(ctx context.Context) (*Installed, error) {
	if err := sweep(o.Cache); err != nil {
		return nil, err
	}
	if o.Wheel == "" {
		in := &Installed{Version: o.Version, Dir: filepath.Join(o.Cache, o.Version), Already: true, Tested: tested(o.Version)}
		if isFile(filepath.Join(in.Dir, "index.html")) {
			return in, nil
		}
	}
	work, err := os.MkdirTemp(o.Cache, unfinished)
	if err != nil {
		return nil, fmt.Errorf("install MLflow's interface: %w", fsx.FullDisk(err))
	}
	defer os.RemoveAll(work)
	wheel := o.Wheel
	if wheel == "" {
		wheel = filepath.Join(work, "wheel")
		if err := o.fetch(ctx, wheel); err != nil {
			return nil, err
		}
	}
	version, files, err := extract(ctx, wheel, filepath.Join(work, "build"))
	if err != nil {
		return nil, err
	}
	in := &Installed{Version: version, Dir: filepath.Join(o.Cache, version), Files: files, Tested: tested(version)}
	// What is there is either incomplete or of the wheel before.
	if err := os.RemoveAll(in.Dir); err != nil {
		return nil, fmt.Errorf("install MLflow's interface: %w", err)
	}
	if err := os.Rename(filepath.Join(work, "build"), in.Dir); err != nil {
		return nil, fmt.Errorf("install MLflow's interface: %w", err)
	}
	return in, nil
}

// unfinished begins the name of a folder of an installation that goes on, or
// was killed.
const unfinished = ".new-"

// sweep removes what killed installations left. The lock is held.
func sweep(cache string) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return fmt.Errorf("install MLflow's interface: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished) {
			if err := os.RemoveAll(filepath.Join(cache, e.Name())); err != nil {
				return fmt.Errorf("install MLflow's interface: %w", err)
			}
		}
	}
	return nil
}

// extract unpacks the interface of a wheel, which is a zip file, into a new
// folder.
func extract(ctx context.Context, wheel, dir string) (version string, files int, err error) {
	z, err := zip.OpenReader(wheel)
	if errors.Is(err, fs.ErrNotExist) {
		return "", 0, errs.Hint(errs.New(errs.NotFound, "there is no wheel %s", wheel), "pip download --no-deps mlflow==%s", Version)
	}
	if err != nil {
		return "", 0, errs.New(errs.DataCorrupt, "%s is no wheel: %w", wheel, err)
	}
	defer z.Close()
	if version = wheelVersion(z.File); version == "" {
		return "", 0, errs.Hint(errs.New(errs.Usage, "%s is no wheel of MLflow", wheel), "pip download --no-deps mlflow==%s", Version)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", 0, fmt.Errorf("unpack MLflow's interface: %w", fsx.FullDisk(err))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", 0, fmt.Errorf("unpack MLflow's interface: %w", err)
	}
	defer root.Close()
	left := int64(maxBytes)
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, "mlflow/server/js/build/")
		if !ok || name == "" || strings.HasSuffix(name, "/") {
			continue
		}
		if err := ctx.Err(); err != nil {
			return "", 0, context.Cause(ctx)
		}
		if files++; files > maxFiles {
			return "", 0, errs.New(errs.DataCorrupt, "%s has more than %d files of an interface in it", wheel, maxFiles)
		}
		n, err := unpack(root, f, name, left)
		if err != nil {
			return "", 0, fmt.Errorf("unpack %s of %s: %w", f.Name, wheel, err)
		}
		left -= n
	}
	if !isFile(filepath.Join(dir, "index.html")) {
		return "", 0, errs.Hint(errs.New(errs.NotFound, "%s has no interface in it: mlflow-skinny and source archives have none", wheel), "pip download --no-deps mlflow==%s", Version)
	}
	return version, files, nil
}

func wheelVersion(files []*zip.File) string {
	for _, f := range files {
		if dir, ok := strings.CutSuffix(f.Name, ".dist-info/METADATA"); ok {
			version, ok := strings.CutPrefix(dir, "mlflow-")
			if _, numbered := number(version); ok && numbered && version == path.Base(version) {
				return version
			}
		}
	}
	return ""
}

// unpack writes one member below root; left bounds its size in bytes.
func unpack(root *os.Root, f *zip.File, name string, left int64) (n int64, err error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) || strings.Contains(name, `\`) || !f.Mode().IsRegular() {
		return 0, errs.New(errs.DataCorrupt, "no name of a file in the interface")
	}
	src, err := f.Open()
	if err != nil {
		return 0, errs.New(errs.DataCorrupt, "%w", err)
	}
	defer src.Close()
	if err := root.MkdirAll(path.Dir(name), 0o777); err != nil {
		return 0, fsx.FullDisk(err)
	}
	dst, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return 0, fsx.FullDisk(err)
	}
	n, err = io.Copy(dst, io.LimitReader(src, left+1))
	if errors.Is(err, zip.ErrChecksum) || errors.Is(err, zip.ErrFormat) {
		err = errs.New(errs.DataCorrupt, "%w", err)
	}
	if n > left {
		err = errors.Join(err, errs.New(errs.DataCorrupt, "the interface is larger than %d bytes", int64(maxBytes)))
	}
	return n, fsx.FullDisk(errors.Join(err, dst.Close()))
}
