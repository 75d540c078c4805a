package ignore

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ctrx/internal/fsx"
)

// Entry is the .gitignore line, without a line end, that stands for a file or
// folder of this name in the folder of the .gitignore.
func Entry(name string) string {
	return escape("/" + name)
}

func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `[`, `\[`, `]`, `\]`, `!`, `\!`, `*`, `\*`, `#`, `\#`, `?`, `\?`).Replace(s)
}

// Add makes Git ignore the path rel below root, unless it does already (set
// tells; its memory is dropped after a change). The line goes into the
// .gitignore next to the path. Add gives that file's path relative to root,
// or "" where nothing had to change.
func Add(root, rel string, isDir bool, set *Set) (string, error) {
	rel = path.Clean(filepath.ToSlash(rel))
	if set.Ignored(rel, isDir) {
		return "", nil
	}
	name := path.Join(path.Dir(rel), ".gitignore")
	file := filepath.Join(root, filepath.FromSlash(name))
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("ignore %s: %w", rel, err)
	}
	if len(data) > 0 && data[len(data)-1] != '\n' {
		data = append(data, '\n')
	}
	line := Entry(path.Base(rel)) + "\n"
	// A line that is there but undone by a later negation stays the only one,
	// as in DVC.
	for l := range strings.Lines(string(data)) {
		if l == line {
			return "", nil
		}
	}
	if err := replace(file, append(data, line...)); err != nil {
		return "", fmt.Errorf("ignore %s: %w", rel, err)
	}
	set.learn(name, bytes.Count(data, []byte{'\n'})+1, strings.TrimSuffix(line, "\n"))
	return name, nil
}

// Remove takes the line that Add writes for rel out of the .gitignore next to
// it; a file that becomes empty is deleted. It gives the file's path relative
// to root, or "" where there was nothing to take out. A plain spelling of the
// name is taken out as well as the escaped one.
func Remove(root, rel string) (string, error) {
	rel = path.Clean(filepath.ToSlash(rel))
	name := path.Join(path.Dir(rel), ".gitignore")
	file := filepath.Join(root, filepath.FromSlash(name))
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("stop ignoring %s: %w", rel, err)
	}
	plain := "/" + path.Base(rel)
	escaped := Entry(path.Base(rel))
	var kept strings.Builder
	for l := range strings.Lines(string(data)) {
		if t := strings.TrimSpace(l); t != plain && t != escaped {
			kept.WriteString(l)
		}
	}
	switch {
	case kept.Len() == len(data) && len(data) > 0:
		return "", nil
	case kept.Len() == 0:
		err = os.Remove(file)
	default:
		err = replace(file, []byte(kept.String()))
	}
	if err != nil {
		return "", fmt.Errorf("stop ignoring %s: %w", rel, err)
	}
	return name, nil
}

// replace writes a file anew, through a symbolic link and with the mode it
// has.
func replace(file string, data []byte) error {
	perm := fs.FileMode(0o644)
	if info, err := os.Stat(file); err == nil {
		perm = info.Mode().Perm()
		if file, err = filepath.EvalSymlinks(file); err != nil {
			return err
		}
	}
	return fsx.WriteFileAs(file, data, perm, fsx.Flushed)
}
