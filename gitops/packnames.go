package gitops

import (
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/go-git/go-billy/v5"
)

// packNames shows go-git the packs of a repository under the names that it
// expects: the checksums of their content. Git takes any name, and other
// programs (dulwich, which DVC fetches with) name a pack by the objects in it;
// go-git would stop at such a pack and see no object of it.
type packNames struct {
	billy.Filesystem
	dir  string            // of the repository
	real map[string]string // base name without suffix: as shown -> as it is
}

func newPackNames(fsys billy.Filesystem, dir string) *packNames {
	return &packNames{Filesystem: fsys, dir: dir, real: map[string]string{}}
}

// packFolder is where packs are, in the paths that go-git asks for.
const packFolder = "objects/pack"

// Capabilities are those of the file system below.
func (p *packNames) Capabilities() billy.Capability { return billy.Capabilities(p.Filesystem) }

// ReadDir lists a folder; that of packs with their shown names.
func (p *packNames) ReadDir(name string) ([]fs.FileInfo, error) {
	list, err := p.Filesystem.ReadDir(name)
	if err != nil || filepath.ToSlash(name) != packFolder {
		return list, err
	}
	for i, info := range list {
		base, isPack := strings.CutSuffix(info.Name(), ".pack")
		if !isPack || !strings.HasPrefix(base, "pack-") {
			continue
		}
		sum, err := p.checksum(info.Name())
		if err != nil {
			continue // vanished, or no pack
		}
		if shown := "pack-" + sum; shown != base {
			p.real[shown] = base
			list[i] = renamed{info, shown + ".pack"}
		}
	}
	return list, nil
}

// checksum is the last 20 bytes of a pack.
func (p *packNames) checksum(name string) (string, error) {
	f, err := os.Open(filepath.Join(p.dir, filepath.FromSlash(packFolder), name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := f.Seek(-20, io.SeekEnd); err != nil {
		return "", err
	}
	var sum [20]byte
	_, err = io.ReadFull(f, sum[:])
	return hex.EncodeToString(sum[:]), err
}

// actual gives the path of a file by the name that it is shown under.
func (p *packNames) actual(name string) string {
	slashed := filepath.ToSlash(name)
	if path.Dir(slashed) != packFolder {
		return name
	}
	base := path.Base(slashed)
	suffix := path.Ext(base)
	if real, ok := p.real[strings.TrimSuffix(base, suffix)]; ok {
		return p.Filesystem.Join(packFolder, real+suffix)
	}
	return name
}

// Open opens a file to read.
func (p *packNames) Open(name string) (billy.File, error) { return p.Filesystem.Open(p.actual(name)) }

// OpenFile opens a file.
func (p *packNames) OpenFile(name string, flag int, perm fs.FileMode) (billy.File, error) {
	return p.Filesystem.OpenFile(p.actual(name), flag, perm)
}

// Stat describes a file.
func (p *packNames) Stat(name string) (fs.FileInfo, error) { return p.Filesystem.Stat(p.actual(name)) }

// Lstat describes a file or link.
func (p *packNames) Lstat(name string) (fs.FileInfo, error) {
	return p.Filesystem.Lstat(p.actual(name))
}

// renamed is a file under another name.
type renamed struct {
	fs.FileInfo
	name string
}

func (r renamed) Name() string { return r.name }
