package pipeline

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"path/filepath"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
	"ctrx/storage/remote"
)

// locate finds the dependencies that are written as paths on a remote
// (remote://NAME/PATH) and lie on this machine: they are files like others.
func (p *Project) locate(src Source, stages []*Stage) error {
	_, live := src.(workTree)
	for _, s := range stages {
		for _, d := range s.Deps {
			if d.Rel != "" || !strings.HasPrefix(d.Path, "remote://") {
				continue
			}
			place, err := p.placeOf(d)
			if err != nil && live {
				return err
			}
			if dir := place.Local(lookup(p.env)); err == nil && dir != "" {
				d.Rel = filepath.ToSlash(dir)
				if rel, err := filepath.Rel(p.Root, dir); err == nil && insideProject(filepath.ToSlash(rel)) {
					d.Rel = filepath.ToSlash(rel)
				}
			}
		}
	}
	return nil
}

// placeOf tells where the data of a URL dependency lies.
func (p *Project) placeOf(d *Dependency) (remote.Place, error) {
	base := filepath.Join(p.Root, ".dvc")
	own := fsConfig(d)
	rest, named := strings.CutPrefix(d.Path, "remote://")
	if !named {
		return remote.Place{URL: d.Path, Config: own, Base: base}, nil
	}
	name, below, _ := strings.Cut(rest, "/")
	config, err := p.Config.Remote(name)
	if err != nil {
		return remote.Place{}, errs.Hint(errs.NewAt(errs.KindOf(err), d.Pos, "dependency '%s': %w", d.Path, err), "%s", errs.HintOf(err))
	}
	merged := maps.Clone(config)
	maps.Copy(merged, own)
	return remote.At(name, merged, base, below), nil
}

// fsConfig gives the options that a dependency has for its own place.
func fsConfig(d *Dependency) map[string]string {
	if d.Recorded == nil {
		return nil
	}
	v, _ := d.Recorded.Extra.Get("fs_config")
	return textOptions(v)
}

// urlEntry is what dvc.lock records of a dependency behind a URL as it is now;
// fs.ErrNotExist when there is nothing.
func (p *Project) urlEntry(ctx context.Context, d *Dependency) (dvcfile.Entry, error) {
	place, err := p.placeOf(d)
	if err != nil {
		return dvcfile.Entry{}, err
	}
	c, err := place.Describe(ctx, p.access())
	if err != nil {
		err = fmt.Errorf("dependency '%s': %w", d.Path, err)
		if kind := errs.KindOf(err); kind == errs.ProjectFile && len(errs.Findings(err)) == 0 {
			err = errs.Hint(errs.NewAt(kind, d.Pos, "%w", err), "%s", errs.HintOf(err))
		}
		return dvcfile.Entry{}, err
	}
	e := dvcfile.Entry{Path: d.Path, Hash: "md5", Digest: c.Digest, HasSize: c.Size >= 0, HasNFiles: c.NFiles > 0}
	e.Meta.Size, e.Meta.NFiles = max(c.Size, 0), c.NFiles
	switch {
	case c.ETag != "":
		e.Extra = dvcfile.NewMap("etag", c.ETag)
	case c.Checksum != "":
		e.Extra = dvcfile.NewMap("checksum", c.Checksum)
	case c.Page != nil:
		e.Extra = dvcfile.NewMap("checksum", pageChecksum(place.URL, c))
	}
	return e, nil
}

// pageChecksum is what DVC records of a web address whose server names no checksum:
// the decimal number of the MD5 of a Python tuple with what fsspec knows of the
// address (AbstractFileSystem.checksum). It changes with the size, the time and the
// headers.
func pageChecksum(address string, c remote.Content) string {
	var size dvcfile.Value
	if c.Size >= 0 {
		size = dvcfile.NewInt(c.Size)
	}
	info := dvcfile.NewMap("name", address, "size", size)
	add := func(key, value string) {
		if value != "" {
			info.Set(key, value)
		}
	}
	add("mimetype", c.Page.MediaType)
	if c.Page.NoRanges {
		info.Set("partial", false)
	}
	info.Set("url", c.Page.Address)
	add("Digest", c.Page.Digest)
	add("Last-Modified", c.Page.LastModified)
	info.Set("type", "file")
	sum := md5.Sum([]byte("(" + dvcfile.PyRepr(info) + ",)"))
	return new(big.Int).SetBytes(sum[:]).String()
}

// checkURL compares a dependency behind a URL with what was recorded of it; ""
// is: no difference.
func (p *Project) checkURL(ctx context.Context, d *Dependency) (State, error) {
	now, err := p.urlEntry(ctx, d)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Deleted, nil
	case err != nil:
		return "", err
	case d.Recorded == nil || now.Digest != d.Recorded.Digest:
		return Modified, nil
	}
	for _, key := range []string{"etag", "checksum"} {
		was, _ := d.Recorded.Extra.Get(key)
		is, _ := now.Extra.Get(key)
		if !dvcfile.Equal(was, is) {
			return Modified, nil
		}
	}
	return "", nil
}
