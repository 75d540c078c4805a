package pipeline

import (
	"context"
	"io/fs"
	"os"
	"path"
	"slices"

	"ctrx/internal/errs"
	"ctrx/internal/fsx"
	"ctrx/internal/ignore"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage"
)

// cacheOf gives the cache that an entry's digest refers to: entries without a
// "hash:" key were written by DVC 2 and live in its layout.
func (p *Project) cacheOf(e *dvcfile.Entry) *storage.Cache {
	if e != nil && e.Hash == "" {
		return p.Cache.Legacy()
	}
	return p.Cache
}

// hash gives the content of a rel path; fs.ErrNotExist when it is absent.
func (p *Project) hash(ctx context.Context, rel string) (storage.Tree, error) {
	return p.hasher.Hash(ctx, p.Abs(rel), p.dvcignoreBelow(rel))
}

// read is hash for data that may be put into the cache right after: store does
// the larger part of that in the same reading.
func (p *Project) read(ctx context.Context, rel string, store bool) (storage.Tree, error) {
	if !store {
		return p.hash(ctx, rel)
	}
	return p.Cache.Ingest(ctx, p.Abs(rel), p.dvcignoreBelow(rel))
}

// changed tells whether a rel path differs from what was recorded of it;
// fs.ErrNotExist when it is absent.
func (p *Project) changed(ctx context.Context, rel string, e *dvcfile.Entry) (bool, error) {
	if e == nil || e.Digest == "" {
		_, err := os.Stat(p.Abs(rel))
		if fsx.Missing(err) {
			err = fs.ErrNotExist
		}
		return true, err
	}
	size := int64(-1)
	if e.HasSize {
		size = e.Meta.Size
	}
	return p.cacheOf(e).Hasher().Changed(ctx, p.Abs(rel), e.Digest, size, p.dvcignoreBelow(rel))
}

// dvcignoreBelow leaves out of a folder what .dvcignore files name.
func (p *Project) dvcignoreBelow(rel string) storage.Ignore {
	if !insideProject(rel) {
		return nil
	}
	prefix := path.Clean(rel) + "/"
	if rel == "." {
		prefix = ""
	}
	return func(below string, isDir bool) bool { return p.dvcignore.Ignored(prefix+below, isDir) }
}

// commitOutput puts one output into the cache. What is not cached is left
// alone, except metrics and plots of a stage whose runs are remembered: the
// run cache must be able to bring them back.
func (p *Project) commitOutput(ctx context.Context, s *Stage, out *Output, e *dvcfile.Entry, tree storage.Tree, mode commitMode) error {
	opts := storage.CommitOptions{Root: p.Root, NoRelink: mode.noRelink}
	if !out.Cache {
		if !s.savesRunCache() {
			return nil
		}
		opts.CopyOnly = true
	}
	if err := p.cacheOf(e).Commit(ctx, p.Abs(out.Rel), tree, opts); err != nil {
		return err
	}
	if out.Cache {
		hash := "md5"
		if e != nil {
			hash = e.Hash
		}
		p.placed(out.Rel, dvcfile.Entry{Digest: tree.Digest, Hash: hash})
	}
	return nil
}

// ignoreOutputs writes the .gitignore entries of a stage's cached outputs. An
// output that Git tracks is an error: it cannot be both.
func (p *Project) ignoreOutputs(s *Stage) error {
	for _, out := range s.Outs {
		if out.Cache {
			if err := p.ignorePath(out.Rel); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Project) ignorePath(rel string) error {
	if p.Git == nil || !insideProject(rel) {
		return nil
	}
	if err := p.refuseTracked(rel); err != nil {
		return err
	}
	info, err := os.Lstat(p.Abs(rel))
	file, err := ignore.Add(p.Git.Root(), p.GitPath(rel), err == nil && info.IsDir(), p.Git.IgnoreSet())
	if err != nil || file == "" {
		return err
	}
	p.touched(path.Join(path.Dir(rel), ".gitignore"))
	return nil
}

// refuseTracked fails when Git tracks a path that DVC is about to track.
func (p *Project) refuseTracked(rel string) error {
	if !p.Git.Tracked(p.GitPath(rel)) {
		return nil
	}
	show := p.Show(rel)
	return errs.Hint(errs.New(errs.Conflict, " output '%s' is already tracked by SCM (e.g. Git).", show),
		"git rm -r --cached '%s' && git commit -m \"stop tracking %s\"", show, show)
}

// GitIgnored tells whether Git ignores a rel path.
func (p *Project) GitIgnored(rel string, isDir bool) bool {
	return p.Git != nil && insideProject(rel) && p.Git.Ignored(p.GitPath(rel), isDir)
}

// GitPath gives the path of a rel path within the Git repository, whose root
// may lie above the project's.
func (p *Project) GitPath(rel string) string { return path.Join(p.gitPrefix, rel) }

// IsCachedOutput tells whether a rel path is a cached output or inside one.
func (ix *Index) IsCachedOutput(rel string) bool {
	return slices.ContainsFunc(ix.Stages, func(s *Stage) bool {
		return slices.ContainsFunc(s.Outs, func(o *Output) bool { return o.Cache && inside(rel, o.Rel) })
	})
}

// touched remembers a file that the user will want to commit.
func (p *Project) touched(rel string) {
	if !slices.Contains(p.touchedFiles, rel) {
		p.touchedFiles = append(p.touchedFiles, rel)
	}
}

// OfferToTrack stages the files that a command wrote for Git, where
// core.autostage is set, or says how to do so.
func (p *Project) OfferToTrack(ctx context.Context) error {
	if p.Git == nil || len(p.touchedFiles) == 0 {
		return nil
	}
	files := slices.Sorted(slices.Values(p.touchedFiles))
	p.touchedFiles = nil
	if p.Config.Bool("core", "autostage", false) {
		for i, f := range files {
			files[i] = p.GitPath(f)
		}
		return p.Git.AddToIndex(ctx, files...)
	}
	line := "\tgit add"
	for _, f := range files {
		line += " " + errs.Arg(p.Show(f))
	}
	p.Info("\nTo track the changes with git, run:\n\n%s\n\nTo enable auto staging, run:\n\n\tctrx config core.autostage true", line)
	return nil
}
