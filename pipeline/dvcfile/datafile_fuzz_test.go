package dvcfile

import "testing"

// FuzzDataFile feeds .dvc files: what is read can be written and read again, and
// says the same then.
func FuzzDataFile(f *testing.F) {
	for _, seed := range []string{
		"outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  size: 0\n  hash: md5\n  path: a\n",
		"md5: d41d8cd98f00b204e9800998ecf8427e\nfrozen: true\ndeps:\n- path: d\n  repo:\n    url: ../x\n    rev_lock: abc\nouts:\n- path: ../../etc/passwd\n",
		"outs:\n- path: /etc/passwd\n- path: .git/hooks/post-checkout\n- path: \"a\\nb\"\n", "wdir: ..\n", "outs: 1\n", "{}", "- 1\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDataFile("a.dvc", data)
		if err != nil {
			return
		}
		text := EmitYAML(d.Value())
		again, err := ParseDataFile("a.dvc", text)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, text)
		}
		if !Equal(d.Value(), again.Value()) {
			t.Fatalf("read back differently:\n%s\n%s", text, EmitYAML(again.Value()))
		}
	})
}
