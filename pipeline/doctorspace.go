package pipeline

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"ctrx/internal/fsx"
	"ctrx/storage"
)

// A disk with less room than littleSpace bytes, or littleFiles files, is worth a
// look: commands check before they begin, but stages and other programs do not.
const (
	littleSpace = 1 << 30
	littleFiles = 10_000
)

// spaceHealth tells how much room is left where a project writes.
func (p *Project) spaceHealth() Health {
	places := []diskPlace{{"cache", p.Cache.Dir()}, {"work tree", p.Root}, {"temporary files", os.TempDir()}}
	return healthOf(places, fsx.Free)
}

// diskPlace is a folder that is written to.
type diskPlace struct{ name, dir string }

// healthOf asks for the space of each place. Places with the same space are on
// one disk, as far as anybody can tell, and share a word.
func healthOf(places []diskPlace, free func(dir string) (fsx.Space, error)) Health {
	h := Health{Name: "space", OK: true}
	type disk struct {
		names []string
		space fsx.Space
	}
	var disks []disk
	var little []string
	for _, place := range places {
		space, err := free(existing(place.dir))
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return Health{Name: "space", OK: true, Detail: "the system does not tell"}
		case err != nil:
			return Health{Name: "space", Detail: fmt.Sprintf("%s: %v", place.name, err), Hint: "check the owner and the mode of " + place.dir}
		}
		if space.Bytes < littleSpace || space.Files >= 0 && space.Files < littleFiles {
			little = append(little, place.dir)
		}
		if n := len(disks) - 1; n >= 0 && disks[n].space == space {
			disks[n].names = append(disks[n].names, place.name)
		} else {
			disks = append(disks, disk{[]string{place.name}, space})
		}
	}
	var parts []string
	for _, d := range disks {
		text := storage.SizeText(d.space.Bytes) + " free"
		if d.space.Files >= 0 && d.space.Files < littleFiles {
			text += fmt.Sprintf(" and room for %d files", d.space.Files)
		}
		parts = append(parts, strings.Join(d.names, ", ")+": "+text)
	}
	h.Detail = strings.Join(parts, "; ")
	if len(little) > 0 {
		h.OK = false
		h.Hint = "little is left at " + strings.Join(little, ", ") + ": ctrx gc -w removes data that nothing in the work tree uses; ctrx cache dir PATH puts the cache on another disk"
	}
	return h
}

// existing is the nearest folder at or above dir that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || filepath.Dir(dir) == dir {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
