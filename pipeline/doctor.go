package pipeline

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/internal/settings"
	"ctrx/storage"
	"ctrx/storage/remote"
	"ctrx/storage/s3"
)

// Fact is something that a report of a problem should hold.
type Fact struct {
	Name  string // as DVC calls it, where DVC has it
	Value string
	Lines []string // where one line is not enough
}

// Health is a check of the project's surroundings.
type Health struct {
	Name   string
	OK     bool
	Detail string
	Hint   string // what to do
}

// Platform is the fact that needs no project.
func Platform() Fact {
	return Fact{Name: "Platform", Value: "Go " + strings.TrimPrefix(runtime.Version(), "go") + " on " + runtime.GOOS + "/" + runtime.GOARCH}
}

// Supported is the fact about remotes.
func Supported() Fact { return Fact{Name: "Supports", Lines: remote.Supported()} }

// Facts are DVC's about a project, in DVC's order.
func (p *Project) Facts() []Fact {
	links := "unknown: there is no cache yet"
	if _, err := os.Stat(p.Cache.Dir()); err == nil {
		links = p.linkFact()
	}
	return []Fact{
		{Name: "Config", Lines: []string{"Global: " + filepath.Dir(p.Config.File(settings.Global)), "System: " + filepath.Dir(p.Config.File(settings.System))}},
		{Name: "Cache types", Value: links},
		{Name: "Cache directory", Value: mountFact(p.Cache.Dir())},
		{Name: "Cache", Value: p.Cache.Dir()},
		{Name: "Remotes", Value: p.remotesFact()},
		{Name: "Workspace directory", Value: mountFact(p.Root)},
		{Name: "Repo", Value: p.repoFact()},
		{Name: "Root", Value: p.Root},
	}
}

func (p *Project) linkFact() string {
	if err := p.ensureTmp(); err != nil {
		return "unknown: " + err.Error()
	}
	works, err := p.Cache.WorkingLinks(p.TmpDir())
	if err != nil {
		return "unknown: " + err.Error()
	}
	names := make([]string, 0, len(works)+1)
	for _, l := range append(works, storage.Copy) {
		names = append(names, string(l))
	}
	return strings.Join(names, ", ")
}

func mountFact(dir string) string {
	kind, source := fsx.Mount(dir)
	if kind == "" {
		return "unknown"
	}
	return kind + " on " + source
}

// remotesFact lists the kinds of the remotes: their names and urls may be
// nobody else's business.
func (p *Project) remotesFact() string {
	var kinds []string
	for _, name := range p.Config.Remotes() {
		config, err := p.Config.Remote(name)
		if err != nil {
			continue
		}
		kind, _, ok := strings.Cut(config["url"], "://")
		if !ok {
			kind = "local"
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 {
		return "None"
	}
	return strings.Join(kinds, ", ")
}

func (p *Project) repoFact() string {
	switch {
	case p.Git == nil:
		return "dvc (no_scm)"
	case p.gitPrefix != ".":
		return "dvc (subdir), git"
	}
	return "dvc, git"
}

// Checkup looks at what a project needs of its surroundings.
func (p *Project) Checkup(ctx context.Context) []Health {
	return []Health{p.gitHealth(), p.configHealth(), p.secretsHealth(), p.lockHealth(), p.linksHealth(), p.remoteHealth(), p.workHealth(ctx), p.spaceHealth(), p.leftoverHealth(ctx)}
}

func (p *Project) gitHealth() Health {
	h := Health{Name: "git", OK: true, Detail: "the repository can be read"}
	if p.Git == nil {
		h.Detail = "not used (core.no_scm)"
		return h
	}
	head, err := p.Git.Head()
	if err != nil {
		return Health{Name: "git", Detail: err.Error(), Hint: errs.HintOf(err)}
	}
	if head.Commit == "" {
		h.OK, h.Detail = false, "there is no commit yet: experiments need one"
		h.Hint = "git commit"
	}
	return h
}

func (p *Project) configHealth() Health {
	if err := p.Config.Validate(); err != nil {
		return Health{Name: "config", Detail: err.Error(), Hint: errs.HintOf(err)}
	}
	if p.Config.Bool("core", "hardlink_lock", false) {
		return Health{Name: "config", Detail: "core.hardlink_lock is set: ctrx locks by flock only", Hint: "ctrx config --unset core.hardlink_lock"}
	}
	return Health{Name: "config", OK: true, Detail: "every key is known"}
}

// secretKeys may not be in a file that is committed.
var secretKeys = []string{"secret_access_key", "access_key_id", "session_token", "sse_customer_key", "password", "passphrase", "token"}

func (p *Project) secretsHealth() Health {
	for _, name := range p.Config.Remotes() {
		for _, key := range secretKeys {
			if o, ok := p.Config.Find(settings.Repo, settings.Name{Kind: "remote", Section: name, Key: key}); ok {
				return Health{Name: "secrets", Detail: fmt.Sprintf("%s of remote '%s' is in .dvc/config, which is committed (line %d)", key, name, o.Pos.Line),
					Hint: fmt.Sprintf("ctrx remote modify --unset %[1]s %[2]s && ctrx remote modify --local %[1]s %[2]s VALUE; then change the key, for it is in the history", name, key)}
			}
		}
	}
	return Health{Name: "secrets", OK: true, Detail: "none are in .dvc/config"}
}

func (p *Project) lockHealth() Health {
	busy, err := fsx.Held(filepath.Join(p.TmpDir(), "lock"))
	switch {
	case err != nil:
		return Health{Name: "lock", Detail: err.Error(), Hint: "file locks must work in .dvc/tmp: it may not lie on a network drive without them"}
	case busy:
		return Health{Name: "lock", OK: true, Detail: "held: another ctrx or dvc is at work"}
	}
	return Health{Name: "lock", OK: true, Detail: "free"}
}

// linksHealth compares what cache.type asks for with what works.
func (p *Project) linksHealth() Health {
	h := Health{Name: "links", OK: true, Detail: "files are copied or share blocks: nothing to set up"}
	asked := p.Config.List("cache", "type")
	if len(asked) == 0 {
		return h
	}
	if _, err := os.Stat(p.Cache.Dir()); err != nil {
		h.Detail = "not tried: there is no cache yet"
		return h
	}
	works, err := p.Cache.WorkingLinks(p.TmpDir())
	if err != nil {
		return Health{Name: "links", Detail: err.Error(), Hint: "check the owner and the mode of " + p.Cache.Dir()}
	}
	if first := storage.LinkType(strings.TrimSpace(asked[0])); first != storage.Copy && !slices.Contains(works, first) {
		return Health{Name: "links", Detail: fmt.Sprintf("cache.type asks for %s, which does not work between %s and the work tree", first, p.Cache.Dir()),
			Hint: "put the cache on the disk of the work tree, or: ctrx config cache.type reflink,copy"}
	}
	h.Detail = strings.Join(asked, ", ") + " as set in cache.type"
	return h
}

func (p *Project) remoteHealth() Health {
	name, ok := p.Config.DefaultRemote()
	if !ok {
		return Health{Name: "remote", Detail: "there is no default remote: data is on this machine only", Hint: "ctrx remote add -d NAME URL, where URL is a folder or s3://bucket/prefix"}
	}
	config, err := p.Config.Remote(name)
	if err != nil {
		return Health{Name: "remote", Detail: err.Error(), Hint: errs.HintOf(err)}
	}
	h := Health{Name: "remote", OK: true, Detail: "'" + name + "' is the default one"}
	if strings.HasPrefix(config["url"], "s3://") {
		h.Hint = "ctrx doctor s3 tries what the store can do"
	}
	return h
}

// workHealth reads every stage file.
func (p *Project) workHealth(ctx context.Context) Health {
	ix, err := p.WorkIndex(ctx)
	if err != nil {
		return Health{Name: "stages", Detail: err.Error(), Hint: errs.HintOf(err)}
	}
	return Health{Name: "stages", OK: true, Detail: fmt.Sprintf("%d stages and data files can be read", len(ix.Stages))}
}

// leftoverHealth counts what commands that died left behind.
func (p *Project) leftoverHealth(ctx context.Context) Health {
	f := &fsck{p: p}
	f.leftovers()
	if err := f.workLeftovers(ctx); err != nil {
		return Health{Name: "leftovers", Detail: err.Error()}
	}
	uploads, _ := filepath.Glob(filepath.Join(p.uploadsDir(), "*.upload"))
	switch {
	case len(f.out.Problems) > 0:
		return Health{Name: "leftovers", Detail: fmt.Sprintf("%d files or folders of commands that died", len(f.out.Problems)), Hint: "ctrx fsck --repair"}
	case len(uploads) > 0:
		return Health{Name: "leftovers", OK: true, Detail: fmt.Sprintf("%d uploads are unfinished", len(uploads)), Hint: "ctrx push goes on with them"}
	}
	return Health{Name: "leftovers", OK: true, Detail: "none"}
}

// DoctorS3 tries what ctrx needs of an S3 remote, the default one if name is "".
// suffix, some random bytes, makes the name of the object that it works on.
func (p *Project) DoctorS3(ctx context.Context, name string, suffix []byte) (s3.Diagnosis, error) {
	name, err := p.remoteName(name, "")
	if err != nil {
		return s3.Diagnosis{}, err
	}
	b, config, err := p.openRemote(ctx, name)
	if err != nil {
		return s3.Diagnosis{}, err
	}
	bucket, ok := b.(*s3.Backend)
	if !ok {
		return s3.Diagnosis{}, errs.Hint(errs.New(errs.Usage, "remote '%s' is not an S3 remote: its url is %s", name, urlWithoutSecrets(config["url"])),
			"ctrx remote list shows all; ctrx doctor s3 NAME takes one with an s3:// url")
	}
	return bucket.Diagnose(ctx, hex.EncodeToString(suffix)), nil
}

// urlWithoutSecrets leaves user and password out of a url.
func urlWithoutSecrets(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if i := strings.LastIndexByte(rest, '@'); ok && i >= 0 {
		return scheme + "://" + rest[i+1:]
	}
	return url
}
