package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ctrx/storage"
)

// folder makes a directory object of "name:content" words.
func folder(words string) storage.DirObject {
	dir := storage.DirObject{}
	for _, w := range strings.Fields(words) {
		name, content, _ := strings.Cut(w, ":")
		dir = append(dir, storage.DirEntry{RelPath: name, MD5: storage.Digest(fmt.Sprintf("%032x", content))})
	}
	dir.Sort()
	return dir
}

func TestMergeDir(t *testing.T) {
	for _, c := range []struct{ name, base, ours, theirs, want, fails string }{
		{"different files", "a:1 b:1", "a:2 b:1", "a:1 b:2 c:1", "a:2 b:2 c:1", ""},
		{"deleted and added", "a:1 b:1", "b:1", "a:1 b:1 d/c:1", "b:1 d/c:1", ""},
		{"deleted by both", "a:1 b:1 c:1", "b:2 c:1", "b:1 c:2", "b:2 c:2", ""},
		{"same change", "a:1", "a:2 b:1", "a:2 c:1", "a:2 b:1 c:1", ""},
		{"emptied", "a:1", "", "a:1", "", ""},
		{"changed by both", "a:1 b:1", "a:2 b:2", "a:3 b:3", "", "changed these files of it: a, b"},
		{"changed and deleted", "a:1 b:1", "a:2 b:1", "b:1", "", "changed these files of it: a"},
		{"file and folder", "", "a:1", "a/b/c:1", "", "changed these files of it: a (a file on one side, a folder on the other)"},
		{"file becomes a folder", "a:1", "a/b:1", "a:1 c:1", "a/b:1 c:1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, order := range [][2]string{{c.ours, c.theirs}, {c.theirs, c.ours}} {
				got, err := mergeDir(folder(c.base), folder(order[0]), folder(order[1]))
				if c.fails == "" && (err != nil || !slices.Equal(got, folder(c.want))) {
					t.Errorf("merged %v, %v, want %v", got, err, folder(c.want))
				}
				if c.fails != "" && (err == nil || !strings.HasSuffix(err.Error(), c.fails)) {
					t.Errorf("error %v, want %s", err, c.fails)
				}
			}
		})
	}
}

// Changes of different files give what both changes one after the other give.
func TestMergeDirProperty(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		var base, ours, theirs, both []string
		for i := range r.IntN(10) {
			before, after := "", []string{"", fmt.Sprintf("f%d:2", i), fmt.Sprintf("d/%d:3", i)}[r.IntN(3)]
			if r.IntN(3) > 0 {
				before = fmt.Sprintf("f%d:1", i)
			}
			o, th, b := before, before, before
			switch r.IntN(3) {
			case 0:
				o, b = after, after
			case 1:
				th, b = after, after
			}
			base, ours, theirs, both = append(base, before), append(ours, o), append(theirs, th), append(both, b)
		}
		text := func(words []string) storage.DirObject { return folder(strings.Join(words, " ")) }
		got, err := mergeDir(text(base), text(ours), text(theirs))
		if err != nil || !slices.Equal(got, text(both)) {
			t.Fatalf("seed %d: %v + %v over %v: %v, %v", seed, ours, theirs, base, got, err)
		}
		if mirrored, err := mergeDir(text(base), text(theirs), text(ours)); err != nil || !slices.Equal(mirrored, got) {
			t.Fatalf("seed %d: mirrored: %v, %v", seed, mirrored, err)
		}
	}
}
