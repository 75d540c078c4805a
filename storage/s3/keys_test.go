package s3

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

// operation names a request that the settings may add headers to.
func operation(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "create"
	case r.Method == http.MethodPost:
		return "complete"
	case r.Method == http.MethodGet && q.Has("list-type"):
		return "list"
	}
	return strings.ToLower(r.Method)
}

// recorder keeps the headers of the latest request of each operation.
type recorder struct {
	mu   sync.Mutex
	seen map[string]http.Header
}

func (k *recorder) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		k.seen[operation(r)] = r.Header.Clone()
		k.mu.Unlock()
		for header := range r.Header { // the fake knows no encryption
			if strings.HasPrefix(header, "X-Amz-Server-Side-Encryption") {
				r.Header.Del(header)
			}
		}
		h.ServeHTTP(w, r)
	})
}

// TestKeys sets each key of a remote section (dvc-compat 8.5) that a server can
// see, and looks at what it sees.
func TestKeys(t *testing.T) {
	t.Parallel()
	const customerKey, customerSum = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", "hRasmdxgYDKV3nvbahU1MA=="
	customer := map[string]string{"X-Amz-Server-Side-Encryption-Customer-Algorithm": "AES256", "X-Amz-Server-Side-Encryption-Customer-Key": customerKey, "X-Amz-Server-Side-Encryption-Customer-Key-Md5": customerSum}
	dir := t.TempDir()
	credentials, config := filepath.Join(dir, "credentials"), filepath.Join(dir, "config")
	for name, text := range map[string]string{
		credentials: "[default]\naws_access_key_id = FROMFILE\naws_secret_access_key = s\n[team]\naws_access_key_id = FROMTEAM\naws_secret_access_key = s\n",
		config:      "[default]\nregion = from-config\n[profile team]\nregion = team-region\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	none := []string{"access_key_id", "", "secret_access_key", "", "credentialpath", credentials, "configpath", config}
	for name, tt := range map[string]struct {
		config []string
		in     string // the operations, separated by spaces
		want   map[string]string
	}{
		"sse":                {[]string{"sse", "AES256"}, "put create", map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}},
		"sse_kms_key_id":     {[]string{"sse", "aws:kms", "sse_kms_key_id", "key-1"}, "put create", map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "key-1"}},
		"sse_customer_key":   {[]string{"sse_customer_key", customerKey}, "put create part get head", customer},
		"acl":                {[]string{"acl", "bucket-owner-full-control"}, "put create", map[string]string{"X-Amz-Acl": "bucket-owner-full-control"}},
		"grant_read":         {[]string{"grant_read", "id=r"}, "put create", map[string]string{"X-Amz-Grant-Read": "id=r"}},
		"grant_read_acp":     {[]string{"grant_read_acp", "id=ra"}, "put create", map[string]string{"X-Amz-Grant-Read-Acp": "id=ra"}},
		"grant_write_acp":    {[]string{"grant_write_acp", "id=wa"}, "put create", map[string]string{"X-Amz-Grant-Write-Acp": "id=wa"}},
		"grant_full_control": {[]string{"grant_full_control", "id=f"}, "put create", map[string]string{"X-Amz-Grant-Full-Control": "id=f"}},
		"session_token":      {[]string{"session_token", "tok"}, "put get head list", map[string]string{"X-Amz-Security-Token": "tok"}},
		"region":             {[]string{"region", "eu-x"}, "put get", map[string]string{"Authorization": "/eu-x/s3/aws4_request"}},
		"access_key_id":      {nil, "put get", map[string]string{"Authorization": "Credential=" + testKey + "/"}},
		"anonymous":          {[]string{"allow_anonymous_login", "true"}, "put get", map[string]string{"Authorization": ""}},
		"credentialpath":     {none, "put get", map[string]string{"Authorization": "Credential=FROMFILE/"}},
		"configpath":         {append([]string{"region", ""}, none...), "put get", map[string]string{"Authorization": "/from-config/s3/"}},
		"profile":            {append([]string{"profile", "team", "region", ""}, none...), "put get", map[string]string{"Authorization": "Credential=FROMTEAM/"}},
		"profile's region":   {append([]string{"profile", "team", "region", ""}, none...), "put get", map[string]string{"Authorization": "/team-region/s3/"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := &recorder{seen: map[string]http.Header{}}
			fake := gofakes3.New(s3mem.New(), gofakes3.WithLogger(gofakes3.DiscardLog()))
			server := httptest.NewTLSServer(k.wrap(fake.Server())) // keys of customers travel by TLS only
			t.Cleanup(server.Close)
			makeBucket(t, open(t, remoteConfig(server.URL, "ssl_verify", "false")))
			b := open(t, remoteConfig(server.URL, append([]string{"ssl_verify", "false"}, tt.config...)...))
			for _, size := range []int{3, partSize + 1} {
				if err := b.Put(t.Context(), "runs/x", strings.NewReader(strings.Repeat("x", size)), int64(size)); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Get(t.Context(), "runs/x", io.Discard); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Stat(t.Context(), "runs/x"); err != nil {
				t.Fatal(err)
			}
			for _, err := range b.List(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, op := range strings.Fields(tt.in) {
				for header, want := range tt.want {
					got := k.seen[op].Get(header)
					if want == "" && got != "" || !strings.Contains(got, want) {
						t.Errorf("%s of %s is %q, want %q", header, op, got, want)
					}
				}
			}
		})
	}
}
