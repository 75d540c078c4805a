package storage

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ctrx/internal/errs"
)

// oddNames are file names whose spelling or order in a directory object is
// easy to get wrong.
func oddNames() []string {
	return []string{"sub.x", "sub/b", "a", "é", "Ж", "\U0001F600", "\ufb00", "q\"uote", "back\\slash",
		"tab\there", "del\x7f", "\x01", "nl\nx", "<&>", "\xff\x80x", "\ue000"}
}

func namesObject(names []string) DirObject {
	var o DirObject
	for _, n := range names {
		sum := md5.Sum([]byte(n))
		o = append(o, DirEntry{MD5: Digest(hex.EncodeToString(sum[:])), RelPath: n})
	}
	return o
}

func TestDirObjectBytes(t *testing.T) {
	tests := []struct {
		name string
		dir  DirObject
		text string
		d    Digest
	}{
		{"empty", DirObject{}, "[]", "d751713988987e9331980363e24189ce.dir"},
		{
			"two",
			DirObject{{"3b5d5c3712955042212316173ccf37be", "x/2"}, {"60b725f10c9c85c70d97880dfe8191b3", "1"}},
			`[{"md5": "60b725f10c9c85c70d97880dfe8191b3", "relpath": "1"}, {"md5": "3b5d5c3712955042212316173ccf37be", "relpath": "x/2"}]`,
			"",
		},
		// The digest of the odd names was computed by Python's json and hashlib.
		{"odd", namesObject(oddNames()), "", "f6204d8d8c76fdd7802d8cb4652bd559.dir"},
		// A folder added by dvc 3.67.1.
		{
			"dvc", DirObject{{"60b725f10c9c85c70d97880dfe8191b3", "a"}, {"3b5d5c3712955042212316173ccf37be", "b"}, {"fb7792b6596fd12502dd132c0aba0568", "l"}},
			"", "3aee5cc34752a41ca11d211f52bc9d89.dir",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.dir.Encode()
			if tt.text != "" && string(got) != tt.text {
				t.Errorf("Encode:\n%s\nwant\n%s", got, tt.text)
			}
			if tt.d != "" && tt.dir.Digest() != tt.d {
				t.Errorf("Digest %s, want %s for\n%s", tt.dir.Digest(), tt.d, got)
			}
			back, err := ParseDir(got)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Clone(tt.dir)
			want.Sort()
			if !slices.Equal(back, want) || back == nil {
				t.Errorf("ParseDir gives %q, want %q", back, want)
			}
		})
	}
}

// TestDigestInPieces compares the digest of folders of one and several pieces with
// that of what is stored, also of unsorted ones.
func TestDigestInPieces(t *testing.T) {
	for _, n := range []int{0, 1, 1023, 1024, 1025, 3000} {
		o := make(DirObject, n)
		for i := range o {
			o[i] = DirEntry{"60b725f10c9c85c70d97880dfe8191b3", fmt.Sprintf("%07d", (i*7919)%n)}
		}
		if got, want := o.Digest(), digestBytes(o.Encode())+".dir"; got != want {
			t.Errorf("%d files: %s, not %s", n, got, want)
		}
	}
}

func TestParseDirRefuses(t *testing.T) {
	const m = "60b725f10c9c85c70d97880dfe8191b3"
	entry := func(md5, rel string) string { return `{"md5": "` + md5 + `", "relpath": "` + rel + `"}` }
	tests := map[string]string{
		"no JSON":       `[`,
		"no list":       `{}`,
		"no path":       `[{"md5": "` + m + `"}]`,
		"number path":   `[{"md5": "` + m + `", "relpath": 1}]`,
		"no md5":        `[{"relpath": "a"}]`,
		"short md5":     "[" + entry("60b7", "a") + "]",
		"upper md5":     "[" + entry(strings.ToUpper(m), "a") + "]",
		"dir md5":       "[" + entry(m+".dir", "a") + "]",
		"parent":        "[" + entry(m, "../a") + "]",
		"inner parent":  "[" + entry(m, "a/../../b") + "]",
		"absolute":      "[" + entry(m, "/etc/passwd") + "]",
		"dot":           "[" + entry(m, "./a") + "]",
		"empty":         "[" + entry(m, "") + "]",
		"NUL":           "[" + entry(m, `a\u0000b`) + "]",
		"twice":         "[" + entry(m, "a") + ", " + entry(m, "a") + "]",
		"file and dir":  "[" + entry(m, "a") + ", " + entry(m, "a/b/c") + "]",
		"dir, far file": "[" + entry(m, "a/b/c") + ", " + entry(m, "a!") + ", " + entry(m, "a") + "]",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			o, err := ParseDir([]byte(text))
			if errs.KindOf(err) != errs.DataCorrupt {
				t.Errorf("ParseDir(%s) = %v, %v", text, o, err)
			}
		})
	}
}

func TestDiffDir(t *testing.T) {
	got := DiffDir(DirObject{{"1", "a"}, {"2", "b"}, {"3", "c"}}, DirObject{{"1", "a"}, {"9", "b"}, {"4", "d"}})
	want := []EntryChange{{"b", "2", "9"}, {"c", "3", ""}, {"d", "", "4"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzParseDir(f *testing.F) {
	f.Add([]byte("[]"))
	f.Add(namesObject(oddNames()).Encode())
	f.Add([]byte(`[{"md5": "60b725f10c9c85c70d97880dfe8191b3", "relpath": "\ud83d\ude00\udc80\\u0041"}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseDir(data)
		if err != nil {
			return
		}
		again, err := ParseDir(o.Encode())
		if err != nil || !slices.Equal(o, again) {
			t.Errorf("%q became %q, %v", o, again, err)
		}
	})
}

func TestDigestForm(t *testing.T) {
	const good = "0123456789abcdef0123456789abcdef"
	for _, d := range []Digest{good, good + ".dir"} {
		if !d.Valid() {
			t.Errorf("%q is a digest", d)
		}
	}
	for c := range 256 {
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		for _, at := range []int{0, 17, 31} {
			text := []byte(good)
			text[at] = byte(c)
			if got := Digest(text).Valid(); got != hex {
				t.Errorf("%q: %t", text, got)
			}
		}
	}
	for _, d := range []Digest{"", ".dir", Digest(good[1:]), good + "0", Digest(good[:31]) + ".dir"} {
		if d.Valid() {
			t.Errorf("%q is no digest", d)
		}
	}
}
