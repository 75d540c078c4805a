package s3

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// liar is a server between a client and a store that changes what arrives, and
// what is answered.
type liar struct {
	mu sync.Mutex
	lies
	reads int // GET of an object
	heads int
	own   map[string]string // own ETag -> the one behind it
}

func (l *liar) tags() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.own)
}

func (l *liar) tag(tag string, posing bool) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for other, known := range l.own {
		if known == tag {
			return other
		}
	}
	other := fmt.Sprintf("0x8D%04d", len(l.own))
	if posing {
		other = fmt.Sprintf("%032x", len(l.own))
	}
	if l.own == nil {
		l.own = map[string]string{}
	}
	l.own[other] = tag
	return other
}

// lies are what a liar does.
type lies struct {
	damage  int  // so many of the next bodies arrive with a bit turned
	cut     int  // so many of the next bodies arrive shorter
	odd     int  // so many of the next parts are answered with another MD5
	ownTags bool // ETags are the store's own: no MD5
	posing  bool // they look like MD5s
}

func (l *liar) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		damage, cut := false, false
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/some/") {
			damage, cut = l.damage > 0, l.cut > 0
			l.damage--
			l.cut--
		}
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/some/") {
			l.reads++
		}
		if r.Method == http.MethodHead {
			l.heads++
		}
		own, posing := l.ownTags, l.posing
		if partNumber(r) != "" && l.odd > 0 {
			l.odd--
			own, posing = true, true
		}
		l.mu.Unlock()
		if damage || cut {
			body, _ := io.ReadAll(r.Body)
			if damage {
				body[len(body)/2] ^= 1
			}
			if cut {
				body = body[:len(body)/2]
				r.ContentLength = int64(len(body))
				r.Header.Set("Content-Length", fmt.Sprint(len(body)))
			}
			r.Header.Del("Content-Md5")
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		if !own {
			h.ServeHTTP(w, r)
			return
		}
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
			body, _ := io.ReadAll(r.Body)
			for other, tag := range l.tags() {
				body = bytes.ReplaceAll(body, []byte(other), []byte(tag))
			}
			r.ContentLength = int64(len(body))
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		tagged := &retagger{ResponseWriter: w, liar: l, posing: posing}
		h.ServeHTTP(tagged, r)
		if !tagged.wrote {
			tagged.WriteHeader(http.StatusOK)
		}
	})
}

// retagger gives another ETag.
type retagger struct {
	http.ResponseWriter
	liar   *liar
	posing bool
	wrote  bool
}

func (w *retagger) WriteHeader(code int) {
	if w.wrote {
		return
	}
	w.wrote = true
	if tag := w.Header().Get("ETag"); tag != "" {
		w.Header().Set("ETag", `"`+w.liar.tag(strings.Trim(tag, `"`), w.posing)+`"`)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *retagger) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

// openServer is a server that does not look at signatures, so that requests can
// be changed on their way.
func openServer(t *testing.T, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	server := httptest.NewServer(wrap(gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog())).Server()))
	t.Cleanup(server.Close)
	return server.URL
}

// TestDamagedUploads has a store that stores something else than was sent.
func TestDamagedUploads(t *testing.T) {
	t.Parallel()
	small, big := "content", strings.Repeat("0123456789abcdef", partSize/16)+"more"
	for name, tt := range map[string]struct {
		text string
		lies lies
		bad  bool
	}{
		"honest":                       {small, lies{}, false},
		"a bit turned":                 {small, lies{damage: 1}, true},
		"own tags":                     {small, lies{ownTags: true}, false},
		"own tags, cut":                {small, lies{ownTags: true, cut: 1}, true},
		"tags like MD5s":               {small, lies{ownTags: true, posing: true}, false},
		"tags like MD5s, a bit turned": {small, lies{ownTags: true, posing: true, damage: 1}, true},
		"in parts":                     {big, lies{}, false},
		"in parts, own tags":           {big, lies{ownTags: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &liar{lies: lies{ownTags: tt.lies.ownTags, posing: tt.lies.posing}}
			url := openServer(t, l.wrap)
			b := checked(t, open(t, remoteConfig(url)))
			makeBucket(t, b)
			l.mu.Lock()
			l.lies = tt.lies
			l.mu.Unlock()
			err := b.Put(t.Context(), "runs/x", strings.NewReader(tt.text), int64(len(tt.text)))
			if tt.bad != (errs.KindOf(err) == errs.DataCorrupt && storage.IsTransient(err)) || !tt.bad && err != nil {
				t.Errorf("Put: %v", err)
			}
			if tt.bad {
				wantGone(t, b)
				if h := errs.HintOf(err); !strings.Contains(h, "ctrx doctor s3 r") {
					t.Errorf("hint %q", h)
				}
				err = b.Put(t.Context(), "runs/x", strings.NewReader(tt.text), int64(len(tt.text)))
			}
			var out strings.Builder
			if err != nil || b.Get(t.Context(), "runs/x", &out) != nil || out.String() != tt.text {
				t.Errorf("then: %d bytes, %v", out.Len(), err)
			}
		})
	}
}

func wantGone(t *testing.T, b *Backend) {
	t.Helper()
	for o, err := range b.List(t.Context(), "") {
		t.Errorf("left on the store: %v, %v", o, err)
	}
}

// TestDamagedPart has a store that says of one part that it is another one: it
// is sent again, and the object is whole.
func TestDamagedPart(t *testing.T) {
	t.Parallel()
	l := &liar{}
	url := openServer(t, l.wrap)
	b := checked(t, open(t, remoteConfig(url)))
	makeBucket(t, b)
	if err := b.Put(t.Context(), "runs/small", strings.NewReader("x"), 1); err != nil { // from it the tags are known
		t.Fatal(err)
	}
	l.odd = 1
	text := strings.Repeat("0123456789abcdef", 2*partSize/16) + "more"
	if err := b.Put(t.Context(), "runs/x", strings.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := b.Get(t.Context(), "runs/x", &out); err != nil || out.String() != text {
		t.Errorf("%d bytes, %v", out.Len(), err)
	}
}

// TestVerifyCost counts what making sure costs: nothing where ETags are MD5s,
// one reading of one object where they are not, then a HEAD for each.
func TestVerifyCost(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lies         lies
		reads, heads int
	}{
		"MD5":      {lies{}, 0, 0},
		"own":      {lies{ownTags: true}, 0, 5},
		"like MD5": {lies{ownTags: true, posing: true}, 1, 4},
	} {
		l := &liar{lies: tt.lies}
		url := openServer(t, l.wrap)
		b := open(t, remoteConfig(url))
		makeBucket(t, b)
		l.reads, l.heads = 0, 0
		for i := range 5 {
			if err := b.Put(t.Context(), fmt.Sprint("runs/", i), strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
		}
		if l.reads != tt.reads || l.heads != tt.heads {
			t.Errorf("%s: %d GET and %d HEAD", name, l.reads, l.heads)
		}
	}
}
