package main

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ctrx/internal/testreq"
)

// webFolder serves a file whose ETag a test sets; without one there is no file. What
// begins with /dated has a date instead, and what begins with /unsized no size either.
type webFolder struct{ etag string }

func (f *webFolder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/secret":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/bare":
		_, _ = w.Write([]byte("12345"))
	case strings.HasPrefix(r.URL.Path, "/dated"), strings.HasPrefix(r.URL.Path, "/unsized"):
		w.Header().Set("Last-Modified", "Fri, 27 Nov 2026 10:00:00 GMT")
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		if r.URL.Path[1] == 'd' {
			w.Header().Set("Content-Length", "5")
		} else {
			w.(http.Flusher).Flush()
		}
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte("12345"))
		}
	case f.etag == "" || r.URL.Path != "/data.csv":
		w.WriteHeader(http.StatusNotFound)
	default:
		w.Header().Set("ETag", f.etag)
		w.Header().Set("Content-Length", "5")
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte("12345"))
		}
	}
}

// webProject writes a project with a stage that reads path of the server, and
// one that reads it by the name of a remote.
func webProject(t *testing.T, dir, server, path string) {
	t.Helper()
	writeFiles(t, dir, map[string]string{
		".dvc/config": "[core]\n    no_scm = True\n    analytics = False\n['remote \"web\"']\n    url = " + server + "\n",
		"dvc.yaml":    "stages:\n  read:\n    cmd: echo read > read.txt\n    deps:\n    - " + server + path + "\n    - remote://web" + path + "\n    outs: [read.txt]\n",
	})
}

// TestWebDependency runs a stage that reads from a web server when what it reads
// changed, by ETag, and not else.
func TestWebDependency(t *testing.T) {
	web := &webFolder{etag: `"one"`}
	server := httptest.NewServer(web)
	defer server.Close()
	dir := t.TempDir()
	webProject(t, dir, server.URL, "/data.csv")
	wants := func(code int, text string, args ...string) {
		t.Helper()
		if got := runCtrx(t, dir, args); got.Code != code || !strings.Contains(got.Output, text) {
			t.Errorf("ctrx %v ends with %d, want %d and %q in\n%s", args, got.Code, code, text, got.Output)
		}
	}
	wants(0, "Running stage 'read'", "repro")
	wants(0, "up to date", "repro")
	wants(0, "{}", "status", "--json")
	web.etag = `"two"`
	wants(0, `{"read": [{"changed deps": {"`+server.URL+`/data.csv": "modified", "remote://web/data.csv": "modified"}}]}`, "status", "--json")
	wants(0, "dependency "+server.URL+"/data.csv modified", "why", "read")
	wants(0, "Running stage 'read'", "repro")
	web.etag = ""
	wants(0, `"deleted"`, "status", "--json")
	wants(5, "dvc.yaml:5:7: dependency '"+server.URL+"/data.csv' does not exist", "repro")
	webProject(t, dir, server.URL, "/bare")
	wants(1, "none of the headers ETag, Content-MD5, Digest and Last-Modified", "repro")
	wants(1, "hint: to track it as it is now: ctrx get-url "+server.URL+"/bare FILE", "import-url", server.URL+"/bare")
	wants(0, "", "get-url", server.URL+"/bare")
	wants(0, server.URL+"/bare\n", "list-url", server.URL+"/bare")
	wants(0, "5  "+server.URL+"/dated\n", "list-url", "--tree", "--size", server.URL+"/dated")
	wants(0, server.URL+"/dated\n", "list-url", "-R", "remote://web/dated")
	wants(5, "The path '"+server.URL+"/none' does not exist", "list-url", server.URL+"/none")
	webProject(t, dir, server.URL, "/secret")
	wants(9, "401 Unauthorized", "repro")
	server.Close()
	wants(10, "hint: ", "status")
}

// TestWebDependencyInterop wants the same dvc.lock and .dvc files of ctrx and of the
// real dvc, and neither to see a change in what the other recorded.
func TestWebDependencyInterop(t *testing.T) {
	testreq.NeedModules(t, "dvc")
	server := httptest.NewServer(&webFolder{etag: `"one"`})
	defer server.Close()
	work := t.TempDir()
	d := startDVC(t, filepath.Join(work, "site"))
	defer d.stop()
	byDVC, byCtrx := filepath.Join(work, "d"), filepath.Join(work, "c")
	both := func(args ...string) {
		t.Helper()
		theirs, ours := d.run(t, byDVC, args), runCtrx(t, byCtrx, args)
		if theirs.Code != 0 || ours.Code != 0 {
			t.Fatalf("dvc %v ends with %d\n%s\nctrx ends with %d\n%s", args, theirs.Code, theirs.Output, ours.Code, ours.Output)
		}
		if diff := differentFiles(t, byDVC, byCtrx); diff != "" {
			t.Errorf("after %v: %s", args, diff)
		}
	}
	for _, path := range []string{"/data.csv", "/dated.csv"} {
		for _, dir := range []string{byDVC, byCtrx} {
			webProject(t, dir, server.URL, path)
		}
		both("repro")
		if again := runCtrx(t, byDVC, []string{"repro"}); strings.Contains(again.Output, "Running") {
			t.Errorf("%s: ctrx runs what dvc ran: %s", path, again.Output)
		}
	}
	for i, path := range []string{"/dated.csv", "/dated%27s%2fx.csv?a=b", "/dated [1].csv", "/unsized.csv"} {
		out := "imported" + strconv.Itoa(i)
		both("import-url", server.URL+path, out)
		both("update", out+".dvc")
		both("import-url", "--no-download", server.URL+path, out+"-later")
	}
	if again := d.run(t, byCtrx, []string{"update", "imported0.dvc", "imported1.dvc"}); strings.Count(again.Output, "didn't change") != 2 {
		t.Errorf("dvc updates what ctrx imported: %s", again.Output)
	}
	both("list-url", server.URL+"/dated.csv")
}
