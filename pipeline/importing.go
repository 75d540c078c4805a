package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
	"ctrx/storage/remote"
)

// ImportOptions says what is imported, from where, and how far.
type ImportOptions struct {
	URL        string // of the data (ImportURL), or of a repository (Import)
	Path       string // Import: inside the repository
	Out        string // "" is the last part of the path, here
	Rev        string // Import: a revision, which `update` follows when it is a branch
	ConfigFile string // Import: merged over the other repository's configuration
	Remote     string // Import: a remote of the other repository; ImportURL: of this one, for ToRemote
	// RemoteConfig are options over those of the remote, or of all remotes of the
	// other repository.
	RemoteConfig map[string]string
	FSConfig     map[string]string // ImportURL: options for the place that the data is at
	Force        bool              // overwrite what is at Out
	NoExec       bool              // write the .dvc file only
	NoDownload   bool              // record what there is, download nothing
	ToRemote     bool              // ImportURL: straight to the remote, not to the work tree
	Jobs         int
}

// Import tracks a file or folder of another repository, as it is at a revision.
func (p *Project) Import(ctx context.Context, o ImportOptions) (string, error) {
	rel, err := cleanForeign(o.Path)
	if err != nil {
		return "", err
	}
	repo := dvcfile.NewMap("url", o.URL)
	if o.Rev != "" {
		repo.Set("rev", o.Rev)
	}
	if o.ConfigFile != "" {
		repo.Set("config", o.ConfigFile)
	}
	switch {
	case len(o.RemoteConfig) > 0:
		m := &dvcfile.Map{}
		for _, k := range sortedKeys(o.RemoteConfig) {
			m.Set(k, o.RemoteConfig[k])
		}
		repo.Set("remote", m)
	case o.Remote != "":
		repo.Set("remote", o.Remote)
	}
	dep := dvcfile.Entry{Path: o.Path, Extra: dvcfile.NewMap("repo", repo)}
	return p.startImport(ctx, path.Base(rel), dep, o)
}

// ImportURL tracks a file or folder that lies at a path of this machine, in a
// bucket, at a web address, or on a remote (remote://NAME/PATH).
func (p *Project) ImportURL(ctx context.Context, o ImportOptions) (string, error) {
	switch {
	case o.ToRemote && (o.NoExec || o.NoDownload):
		return "", errs.New(errs.Usage, "--no-exec/--no-download cannot be combined with --to-remote")
	case !o.ToRemote && o.Remote != "":
		return "", errs.New(errs.Usage, "--remote can't be used without --to-remote")
	}
	name := path.Base(strings.TrimRight(filepath.ToSlash(o.URL), "/"))
	dep := dvcfile.Entry{Path: o.URL, Hash: "md5"}
	if len(o.FSConfig) > 0 {
		m := &dvcfile.Map{}
		for _, k := range sortedKeys(o.FSConfig) {
			m.Set(k, o.FSConfig[k])
		}
		dep.Extra = dvcfile.NewMap("fs_config", m)
	}
	return p.startImport(ctx, name, dep, o)
}

// outputPath gives the rel path that data comes to: where out says, in the folder
// that out is, or here under its own name.
func (p *Project) outputPath(out, name string, force bool) (string, error) {
	if out == "" {
		out = name
	} else if info, err := os.Stat(filepath.Join(p.Abs(p.Dir), out)); err == nil && info.IsDir() && !filepath.IsAbs(out) {
		out = path.Join(out, name)
	}
	rel, err := p.Rel(out)
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(p.Abs(rel)); err == nil && !force {
		return "", errs.Hint(errs.New(errs.Conflict, "The file '%s' already exists locally. Use `--force` to force.", p.Show(rel)), "--force overwrites it")
	}
	dir := path.Dir(rel)
	if info, err := os.Stat(p.Abs(dir)); insideProject(rel) && (err != nil || !info.IsDir()) {
		return "", errs.Hint(errs.New(errs.NotFound, "the folder '%s' does not exist", p.Show(dir)), "mkdir -p %s", errs.Arg(p.Show(dir)))
	}
	return rel, p.checkOutputPlace(rel)
}

func (p *Project) startImport(ctx context.Context, name string, dep dvcfile.Entry, o ImportOptions) (string, error) {
	lock, err := p.Lock(ctx)
	if err != nil {
		return "", err
	}
	defer lock.Unlock()
	rel, err := p.outputPath(o.Out, name, o.Force)
	if err != nil {
		return "", err
	}
	file := rel + ".dvc"
	if _, isRepo := dep.Extra.Get("repo"); !isRepo {
		p.localDep(&dep, path.Dir(rel))
	}
	df := dvcfile.NewDataFile(file, dvcfile.Entry{Path: path.Base(rel), Hash: "md5"})
	df.Frozen, df.Deps = true, []dvcfile.Entry{dep}
	s := newDataStage(file, df)
	if err := p.locate(p.WorkTree(), []*Stage{s}); err != nil {
		return "", err
	}
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return "", err
	}
	others := ix.filter(func(x *Stage) bool { return x.File != file })
	if len(others) < len(ix.Stages) && !o.Force {
		if _, err := os.Lstat(p.Abs(rel)); err != nil {
			return "", errs.Hint(errs.New(errs.Conflict, "'%s' already exists", p.Show(file)), "ctrx checkout %s brings an import to its end that was cut off; --force replaces it", errs.Arg(p.Show(rel)))
		}
		return "", errs.Hint(errs.New(errs.Conflict, "'%s' already exists", p.Show(file)), "--force replaces it, ctrx update brings it up to date")
	}
	if _, err := NewGraph(append(others, s)); err != nil {
		if earlier := path.Dir(rel); len(ix.filter(func(x *Stage) bool { return x.File == earlier+".dvc" && x.makes(earlier) })) > 0 {
			err = errs.Hint(err, "'%s' is tracked: ctrx checkout %s brings an import to its end that was cut off, ctrx update %s reads the source again", p.Show(earlier), errs.Arg(p.Show(earlier)), errs.Arg(p.Show(earlier)+".dvc"))
		}
		return "", err
	}
	if p.Git != nil {
		if err := p.refuseTracked(rel); err != nil {
			return "", err
		}
	}
	if o.NoExec {
		if err := p.ignorePath(rel); err != nil {
			return "", err
		}
		return file, p.writeData(s)
	}
	if !o.ToRemote {
		p.Info("Importing '%s' -> '%s'", p.depName(s), p.Show(rel))
	}
	return file, p.runImport(ctx, s, o)
}

// depName is what DVC calls the source of an import.
func (p *Project) depName(s *Stage) string {
	d := s.Data.Deps[0]
	if url := repoOption(&d, "url"); url != "" {
		return fmt.Sprintf("%s (%s)", d.Path, url)
	}
	if rel := s.Deps[0].Rel; rel != "" && !insideProject(rel) {
		return p.Abs(rel)
	}
	return d.Path
}

func repoOption(e *dvcfile.Entry, key string) string {
	v, _ := e.Extra.Get("repo")
	m, _ := v.(*dvcfile.Map)
	text, _ := m.Get(key)
	s, _ := text.(string)
	return s
}

// localDep writes a path of this machine as DVC does: relative to the .dvc file
// where it lies in the project or was given so, else absolute.
func (p *Project) localDep(dep *dvcfile.Entry, wdir string) {
	if isURL(dep.Path) {
		return
	}
	rel, err := p.Rel(dep.Path)
	if err == nil && (insideProject(rel) || !filepath.IsAbs(dep.Path)) {
		dep.Path = relFrom(wdir, rel)
	}
}

// importedEntry is how an import records what was read of its source.
func (s *Stage) importedEntry(got Fetched) dvcfile.Entry {
	e := newEntry(s.Data.Outs[0].Path, got.Tree)
	e.Meta.IsExec = e.Meta.IsExec && s.isRepoImport() // a download is a plain file
	if got.Legacy {
		e.Hash = ""
	}
	return e
}

// runImport brings the data of an import and records it. The source is read into
// the cache first; the work tree changes when all of it is there.
func (p *Project) runImport(ctx context.Context, s *Stage, o ImportOptions) error {
	got, dep, err := p.readSource(ctx, s, o)
	if err != nil {
		return fmt.Errorf("import '%s': %w", p.depName(s), err)
	}
	s.Data.Deps[0] = dep
	if got.Cache == nil {
		s.Data.MD5 = s.Data.Checksum() // as in DVC: with the output that was recorded so far
	}
	out := s.Outs[0]
	entry := dvcfile.Entry{Path: s.Data.Outs[0].Path, Hash: "md5"}
	if got.Cache != nil {
		entry = s.importedEntry(got)
	}
	entry.Extra = s.Data.Outs[0].Extra
	s.Data.Outs[0].Entry = entry
	if out.Cache || s.isRepoImport() {
		if err := p.ignorePath(out.Rel); err != nil {
			return err
		}
	}
	if got.Cache != nil {
		s.Data.MD5 = s.Data.Checksum()
	}
	if _, err := os.Lstat(p.Abs(s.File)); errors.Is(err, fs.ErrNotExist) {
		// A new import is recorded before it is seen: one that is cut off here is
		// brought to its end by a checkout. One that exists keeps its record until
		// the work tree has the new data, so that a second update goes on.
		if err := p.writeData(s); err != nil {
			return err
		}
	}
	if got.Cache != nil && !o.ToRemote {
		e := s.Data.Outs[0].Entry
		if _, err := p.checkoutOutput(ctx, out, e, CheckoutOptions{Force: true}); err != nil {
			return err
		}
	}
	if err := p.writeData(s); err != nil || got.Cache != nil {
		return err
	}
	return p.removeStale(ctx, out)
}

// readSource takes the source of an import into the cache, and gives what is to
// be recorded of it. With NoDownload nothing is read but what the source says of
// itself; then the cache is nil.
func (p *Project) readSource(ctx context.Context, s *Stage, o ImportOptions) (Fetched, dvcfile.Entry, error) {
	if s.isRepoImport() {
		return p.readRepo(ctx, s, o)
	}
	dep := s.Data.Deps[0]
	d := s.Deps[0]
	if d.Rel == "" && strings.HasPrefix(d.Path, "file://") {
		d.Rel = filepath.ToSlash(filepath.Clean(strings.TrimPrefix(d.Path, "file://")))
	}
	if d.Rel != "" {
		tree, err := p.hash(ctx, d.Rel)
		if errors.Is(err, fs.ErrNotExist) {
			return Fetched{}, dep, errs.New(errs.NotFound, "The path '%s' does not exist", d.Path)
		}
		if err != nil {
			return Fetched{}, dep, err
		}
		e := newEntry(dep.Path, tree)
		e.Extra = dep.Extra
		e.Meta.IsExec = tree.IsExec
		if o.NoDownload {
			return Fetched{}, e, nil
		}
		return p.takeIn(ctx, p.Abs(d.Rel), tree, e, o)
	}
	e, err := p.urlEntryWith(ctx, d)
	if errors.Is(err, fs.ErrNotExist) {
		err = errs.New(errs.NotFound, "The path '%s' does not exist", d.Path)
	}
	if err != nil || o.NoDownload {
		return Fetched{}, e, err
	}
	temp, err := p.tempDir("import-")
	if err != nil {
		return Fetched{}, e, err
	}
	defer os.RemoveAll(temp)
	place, err := p.placeOf(d)
	if err != nil {
		return Fetched{}, e, err
	}
	to := filepath.Join(temp, "data")
	if err := download(ctx, place, p.access(), filepath.Dir(temp), to, o.Jobs); err != nil {
		return Fetched{}, e, err
	}
	hash := p.Cache.Ingest
	if o.ToRemote {
		hash = p.hasher.Hash
	}
	tree, err := hash(ctx, to, nil)
	if err != nil {
		return Fetched{}, e, err
	}
	return p.takeIn(ctx, to, tree, e, o)
}

// takeIn stores what lies at a path, in the cache or straight on a remote.
func (p *Project) takeIn(ctx context.Context, at string, tree storage.Tree, e dvcfile.Entry, o ImportOptions) (Fetched, dvcfile.Entry, error) {
	got := Fetched{Tree: tree, Cache: p.Cache}
	if o.ToRemote {
		return got, e, p.toRemote(ctx, at, tree, o.Remote, o.Jobs)
	}
	return got, e, p.Cache.Commit(ctx, at, tree, storage.CommitOptions{NoRelink: true})
}

// toRemote sends what lies at a path to a remote, and leaves nothing of it in the
// cache.
func (p *Project) toRemote(ctx context.Context, at string, tree storage.Tree, name string, jobs int) error {
	name, err := p.remoteName(name, "")
	if err != nil {
		return err
	}
	b, config, err := p.openRemote(ctx, name)
	if err != nil {
		return err
	}
	temp, err := p.tempDir("to-remote-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	cache := storage.OpenCache(temp, storage.CacheOptions{Sink: p.sink})
	defer cache.Close()
	if err := cache.Commit(ctx, at, tree, storage.CommitOptions{NoRelink: true}); err != nil {
		return err
	}
	_, err = storage.Push(ctx, storage.TransferOptions{Cache: cache, Remote: b, Objects: []storage.Digest{tree.Digest}, Jobs: jobs, Sink: p.sink, Name: name,
		Known: p.knownOn(config, false), Lists: p.Cache})
	return err
}

// tempDir makes a folder for one command below .dvc/tmp.
func (p *Project) tempDir(prefix string) (string, error) {
	dir := filepath.Join(p.TmpDir(), "ctrx")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", fsx.FullDisk(err)
	}
	name, err := os.MkdirTemp(dir, prefix)
	return name, fsx.FullDisk(err)
}

// readRepo reads the source of an import from another repository, at the locked
// revision where there is one.
func (p *Project) readRepo(ctx context.Context, s *Stage, o ImportOptions) (Fetched, dvcfile.Entry, error) {
	dep := s.Data.Deps[0]
	rev := repoOption(&dep, "rev_lock")
	if rev == "" {
		rev = repoOption(&dep, "rev")
	}
	f, err := p.openForeignDep(ctx, &dep, rev)
	if err != nil {
		return Fetched{}, dep, err
	}
	defer f.Close()
	if f.Commit == "" {
		return Fetched{}, dep, errs.Hint(errs.New(errs.Usage, "'%s' is no Git repository with a commit: an import names one", f.o.URL), "ctrx import-url takes a plain path")
	}
	v, _ := dep.Extra.Get("repo")
	repo := v.(*dvcfile.Map).Clone()
	locked := &dvcfile.Map{}
	for _, k := range []string{"url", "rev"} {
		if v, ok := repo.Get(k); ok {
			locked.Set(k, v)
		}
	}
	locked.Set("rev_lock", f.Commit)
	for _, k := range repo.Keys() {
		if v, _ := repo.Get(k); k != "rev_lock" {
			locked.Set(k, v)
		}
	}
	dep.Extra = dvcfile.NewMap("repo", locked)
	if o.NoDownload {
		return Fetched{}, dep, nil
	}
	got, err := f.Fetch(ctx, dep.Path)
	return got, dep, err
}

// openForeignDep opens the repository of an import.
func (p *Project) openForeignDep(ctx context.Context, dep *dvcfile.Entry, rev string) (*Foreign, error) {
	o := ForeignOptions{
		OpenOptions: OpenOptions{Dir: p.Abs(p.Dir), Args: p.args, Env: p.env, Sink: p.sink, Now: p.now, Ask: p.ask},
		URL:         repoOption(dep, "url"), Rev: rev, Remote: repoOption(dep, "remote"), ConfigFile: repoOption(dep, "config"),
		CloneDir: filepath.Join(p.TmpDir(), "ctrx", "clones"), Cache: p.Cache,
	}
	if v, ok := dep.Extra.Get("repo"); ok {
		if m, ok := v.(*dvcfile.Map); ok {
			if r, _ := m.Get("remote"); r != nil {
				o.RemoteConfig = textOptions(r)
			}
		}
	}
	return OpenForeign(ctx, o)
}

// textOptions reads a mapping of options; other values become their text.
func textOptions(v dvcfile.Value) map[string]string {
	m, ok := v.(*dvcfile.Map)
	if !ok {
		return nil
	}
	out := map[string]string{}
	for _, k := range m.Keys() {
		x, _ := m.Get(k)
		out[k] = dvcfile.PyStr(x)
	}
	return out
}

// urlEntryWith is urlEntry that keeps the options for the place.
func (p *Project) urlEntryWith(ctx context.Context, d *Dependency) (dvcfile.Entry, error) {
	e, err := p.urlEntry(ctx, d)
	if d.Recorded != nil {
		for _, k := range d.Recorded.Extra.Keys() {
			if k == "fs_config" {
				v, _ := d.Recorded.Extra.Get(k)
				if e.Extra == nil {
					e.Extra = &dvcfile.Map{}
				}
				e.Extra.Set(k, v)
			}
		}
	}
	return e, err
}

// GetURL copies a file or folder from any place into the folder dir, without
// tracking it; no project is needed.
func GetURL(ctx context.Context, place remote.Place, o ImportOptions, acc remote.Access, dir string) error {
	to, err := freePath(dir, o.Out, baseName(place.URL), o.Force)
	if err != nil {
		return err
	}
	return putInPlace(to, func(temp string) error {
		from := place.Local(acc.Env)
		if from != "" {
			if _, err := os.Stat(from); err != nil {
				return errs.New(errs.NotFound, "The path '%s' does not exist", place.URL)
			}
			return copyLocal(ctx, from, temp)
		}
		err := download(ctx, place, acc, filepath.Dir(to), temp, o.Jobs)
		if errors.Is(err, fs.ErrNotExist) {
			return errs.New(errs.NotFound, "The path '%s' does not exist", place.URL)
		}
		return err
	})
}

// download brings what lies at a place to a path below the folder dir. In dir a
// large file that does not arrive whole waits for the next call.
func download(ctx context.Context, place remote.Place, acc remote.Access, dir, to string, jobs int) error {
	root, err := fsx.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	name, err := root.Rel(to)
	if err != nil {
		return err
	}
	return place.Download(ctx, acc, root, name, jobs)
}
