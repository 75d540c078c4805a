package s3

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"ctrx/internal/errs"
)

// results lists the checks of a diagnosis, "name=result".
func results(d Diagnosis) string {
	var out []string
	for _, c := range d.Checks {
		out = append(out, c.Name+"="+string(c.Result))
	}
	return strings.Join(out, " ")
}

// noSecrets looks for the keys in everything that a diagnosis says.
func noSecrets(t *testing.T, d Diagnosis) {
	t.Helper()
	text := fmt.Sprintf("%+v %v %s", d, d.Err(), errs.HintOf(d.Err()))
	for _, secret := range []string{testSecret, testKey, "another-secret"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in what the diagnosis says: %s", secret, text)
		}
	}
}

func sound(t *testing.T, b *Backend, d Diagnosis) {
	t.Helper()
	if d.Err() != nil || !strings.HasPrefix(results(d), "credentials=ok list=ok put=ok look=ok get=ok range=ok find=ok parts=ok list parts=ok complete=ok ETags=ok ") || !strings.HasSuffix(results(d), " delete=ok") {
		t.Errorf("%v: %s\n%+v", d.Err(), results(d), d.Checks)
	}
	noSecrets(t, d)
	wantGone(t, b)
	if out, err := b.client.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: b.bucket()}); err == nil && len(out.Uploads) > 0 {
		t.Errorf("%d unfinished uploads are left", len(out.Uploads))
	}
}

func TestDiagnoseFake(t *testing.T) {
	t.Parallel()
	url, _ := fakeServer(t, false, nil)
	b := checked(t, open(t, remoteConfig(url)))
	makeBucket(t, b)
	d := b.Diagnose(t.Context(), "x1")
	sound(t, b, d)
	if d.URL != "s3://bucket/some/prefix" || d.Endpoint != url || d.Region != "ru-msk" || d.Style != "path" || d.Provider != "" || len(d.Advice) > 0 {
		t.Errorf("%+v", d)
	}
}

// TestDiagnoseServer has a real server that was started with region ru-msk, and
// is strict about it.
func TestDiagnoseServer(t *testing.T) {
	t.Parallel()
	url := versitygw(t)
	b := checked(t, open(t, remoteConfig(url)))
	makeBucket(t, b)
	d := b.Diagnose(t.Context(), "x1")
	sound(t, b, d)
	if !strings.Contains(results(d), "Content-MD5=ok checksums=ok conditions=ok") {
		t.Errorf("%s\n%+v", results(d), d.Checks)
	}
	d = open(t, remoteConfig(url, "region", "us-east-1")).Diagnose(t.Context(), "x2")
	noSecrets(t, d)
	if errs.KindOf(d.Err()) != errs.Auth || !slices.Contains(d.Advice, "ctrx remote modify r region ru-msk") {
		t.Errorf("wrong region: %v, advice %q", d.Err(), d.Advice)
	}
}

// TestDiagnoseTrouble has stores on which something does not work.
func TestDiagnoseTrouble(t *testing.T) {
	t.Parallel()
	answer := func(code int, name string, when func(r *http.Request) bool) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if when(r) {
					_, _ = io.Copy(io.Discard, r.Body)
					w.WriteHeader(code)
					fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", name)
					return
				}
				h.ServeHTTP(w, r)
			})
		}
	}
	own := &liar{lies: lies{ownTags: true}}
	for name, tt := range map[string]struct {
		wrap   func(http.Handler) http.Handler
		config []string
		want   string // in the results
		kind   errs.Kind
		advice string
	}{
		"no uploads in parts": {answer(400, "NotImplemented", func(r *http.Request) bool { return r.URL.Query().Has("uploads") }), nil,
			"find=ok parts=failed ETags=ok", errs.Failed, ""},
		"no list of parts": {answer(400, "NotImplemented", func(r *http.Request) bool { return r.Method == http.MethodGet && r.URL.Query().Has("uploadId") }), nil,
			"parts=ok list parts=note complete=ok", errs.Failed, ""},
		"may not list": {answer(403, "AccessDenied", func(r *http.Request) bool { return r.URL.Query().Has("list-type") }), nil,
			"credentials=ok list=failed put=skipped", errs.Auth, "write and list s3://bucket/some/prefix"},
		"may not delete": {answer(403, "AccessDenied", func(r *http.Request) bool { return r.Method == http.MethodDelete }), nil,
			"conditions=ok delete=failed", errs.Auth, "ctrx remote modify --local r access_key_id ID"},
		"checksums refused": {answer(400, "InvalidArgument", func(r *http.Request) bool { return r.Header.Get("X-Amz-Checksum-Crc32") != "" }), nil,
			"checksums=note", errs.Failed, ""},
		"own ETags":     {own.wrap, nil, "ETags=note", errs.Failed, ""},
		"no bucket":     {nil, []string{"url", "s3://nowhere"}, "list=failed put=skipped look=skipped", errs.NotFound, "ctrx remote modify r url s3://BUCKET/PREFIX"},
		"no server":     {nil, []string{"endpointurl", "http://127.0.0.1:1"}, "list=failed put=skipped", errs.Unreachable, "ctrx remote modify r endpointurl"},
		"VK, no region": {nil, []string{"endpointurl", "http://hb.vkcs.cloud.invalid:1", "region", ""}, "list=failed", errs.Unreachable, "endpointurl"},
		"no credentials": {nil, []string{"access_key_id", "", "secret_access_key", "", "credentialpath", "none", "configpath", "none"},
			"credentials=failed list=skipped", errs.Auth, "AWS_SECRET_ACCESS_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, _ := fakeServer(t, false, nil)
			if tt.wrap != nil {
				url = openServer(t, tt.wrap)
			}
			makeBucket(t, open(t, remoteConfig(url)))
			d := open(t, remoteConfig(url, tt.config...)).Diagnose(t.Context(), "x")
			noSecrets(t, d)
			err := d.Err()
			if !strings.Contains(results(d), tt.want) || strings.Contains(results(d), "=failed") != (err != nil) || err != nil && errs.KindOf(err) != tt.kind ||
				!strings.Contains(strings.Join(d.Advice, "\n"), tt.advice) {
				t.Errorf("%v (kind %d), %s, advice %q", err, errs.KindOf(err), results(d), d.Advice)
			}
		})
	}
}

func TestProviderOf(t *testing.T) {
	for endpoint, want := range map[string]string{
		"":                                     "AWS",
		"https://hb.ru-msk.vkcs.cloud":         "VK Cloud",
		"https://hb.vkcs.cloud":                "VK Cloud",
		"https://hb.bizmrg.com":                "VK Cloud",
		"https://hb.ru-msk.vkcloud-storage.ru": "VK Cloud",
		"https://storage.yandexcloud.net":      "Yandex Object Storage",
		"https://abc.r2.cloudflarestorage.com": "Cloudflare R2",
		"https://s3.eu-west-1.amazonaws.com":   "AWS",
		"http://minio.example:8080":            "MinIO",
		"http://10.0.0.1:9000":                 "MinIO",
		"https://rgw.example.org":              "Ceph",
		"http://10.0.0.1:7480":                 "Ceph",
		"https://notvkcs.cloud":                "",
		"https://store.example":                "",
		"https://vkcs.cloud.example.org":       "",
	} {
		if got := ProviderOf(endpoint).Name; got != want {
			t.Errorf("%s is %q, want %q", endpoint, got, want)
		}
	}
	b := open(t, remoteConfig("https://hb.ru-msk.vkcs.cloud", "region", ""))
	if r := b.client.Options().Region; r != "ru-msk" {
		t.Errorf("without a setting the region of VK Cloud is %q", r)
	}
}
