package web

import (
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"testing"
)

// TestYarlText compares with what the real yarl 1.25.1 gave for these addresses.
func TestYarlText(t *testing.T) {
	for in, want := range map[string]string{
		"http://h":                    "http://h/",
		"https://H.com:443/x":         "https://h.com/x",
		"http://h:81/x":               "http://h:81/x",
		"http://[::1]:80/a":           "http://[::1]/a",
		"http://u:p@h/lm#frag":        "http://h/lm",
		"http://h/lm?q=1":             "http://h/lm?q=1",
		"http://h/lm a b":             "http://h/lm%20a%20b",
		"http://h/lmé":                "http://h/lm%C3%A9",
		"http://h/lm%c3%a9":           "http://h/lm%C3%A9",
		"http://h/lm%7ea%27%2f%2bx":   "http://h/lm~a'%2F%2Bx",
		"http://h/lm;x,y'z":           "http://h/lm;x,y'z",
		`http://h/lm"q`:               "http://h/lm%22q",
		"http://h/lm[a]^|":            "http://h/lm%5Ba%5D%5E%7C",
		"http://h/~me/@a:b/c+d=(e)!*": "http://h/~me/@a:b/c+d=(e)!*",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := yarlText(u); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", in, got, want)
		}
	}
}

// TestDescribe asks servers that answer HEAD in full, in part and not at all.
func TestDescribe(t *testing.T) {
	t.Parallel()
	address := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		get := r.Method == http.MethodGet
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/full", http.StatusFound)
			return
		case "/full":
			w.Header().Set("Accept-Ranges", "none")
			w.Header().Set("Last-Modified", "Fri, 27 Nov 2026 10:00:00 GMT")
			w.Header().Set("Content-Type", "text/csv; charset=utf-8")
			w.Header().Set("Content-Length", "2")
		case "/signed": // an address that is signed for GET
			if !get {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			w.Header().Set("Content-MD5", "AAAA")
			w.Header().Set("Digest", "sha-256=abc")
		case "/stream":
			w.Header().Set("ETag", `"one"`)
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		case "/packed":
			w.Header().Set("Content-Encoding", "gzip")
		default:
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if get {
			_, _ = w.Write([]byte("ab"))
		}
	}))
	client, err := NewClient(Settings{ConnectTime: requestTime, ReadTime: requestTime})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	full := Page{Size: 2, Address: address + "/full", MediaType: "text/csv", NoRanges: true, LastModified: "Fri, 27 Nov 2026 10:00:00 GMT"}
	for path, want := range map[string]Page{
		"/full":   full,
		"/moved":  full,
		"/signed": {Size: 2, Checksum: "AAAA", Address: address + "/signed", MediaType: "text/plain", Digest: "sha-256=abc"},
		"/stream": {Size: -1, Checksum: `"one"`, Address: address + "/stream"},
		"/packed": {Size: -1, Address: address + "/packed"},
	} {
		u, err := url.Parse(address + path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Describe(t.Context(), u)
		if want.MediaType == "" {
			got.MediaType = ""
		}
		if err != nil || got != want {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", path, err, got, want)
		}
	}
	u, err := url.Parse(address + "/none")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Describe(t.Context(), u); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
}
