package pipeline

import (
	"testing"

	"ctrx/storage/remote"
	"ctrx/storage/web"
)

// TestPageChecksum compares with what the real dvc 3.67.1 (fsspec 2026.9.0) recorded
// of these pages of a local server.
func TestPageChecksum(t *testing.T) {
	const base = "http://127.0.0.1:18734/"
	const friday = "Fri, 27 Nov 2026 10:00:00 GMT"
	for _, c := range []struct {
		name string
		size int64
		page web.Page
		want string
	}{
		{"plain", 6, web.Page{}, "203206540405786779603209978184459381172"},
		{"plain", 7, web.Page{}, "142630626834662555792114173537645308987"},
		{"lm", 6, web.Page{LastModified: friday}, "183089541438462218452219962519494018662"},
		{"type", 6, web.Page{MediaType: "text/plain"}, "13807156778383704190428173579018371046"},
		{"nolen", -1, web.Page{}, "97898922880274534790676028168263818421"},
		{"digest", 6, web.Page{Digest: "sha-256=abc"}, "149169520708758504240667996937762470605"},
		{"redir", 6, web.Page{Address: base + "lm/a", LastModified: friday}, "124336727421913495313486809417978177837"},
		{"lm;x,y'z", 7, web.Page{LastModified: friday}, "86179400810007369734909995268828152828"},
		{`lm"q`, 7, web.Page{Address: base + "lm%22q", LastModified: friday}, "223585639671374930757563299379829115570"},
		{"noranges-type-lm", 6, web.Page{MediaType: "text/plain", NoRanges: true, LastModified: friday}, "306153430655068388131132081669075978947"},
	} {
		if c.page.Address == "" {
			c.page.Address = base + c.name
		}
		if got := pageChecksum(base+c.name, remote.Content{Size: c.size, Page: &c.page}); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
