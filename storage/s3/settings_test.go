package s3

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ctrx/internal/errs"
)

func TestParse(t *testing.T) {
	dir := t.TempDir()
	env := func(vars ...string) func(string) string {
		return func(k string) string {
			for i := 0; i < len(vars); i += 2 {
				if vars[i] == k {
					return vars[i+1]
				}
			}
			return ""
		}
	}
	tests := []struct {
		name   string
		config map[string]string
		env    func(string) string
		check  func(s Settings) bool
	}{
		{"prefix", map[string]string{"url": "s3://b/x//y/"}, env(), func(s Settings) bool { return s.Bucket == "b" && s.Prefix == "x/y" && s.URL() == "s3://b/x/y" }},
		{"no prefix", map[string]string{"url": "s3://b"}, env(), func(s Settings) bool { return s.Bucket == "b" && s.Prefix == "" }},
		{"use_ssl", map[string]string{"url": "s3://b", "endpointurl": "host:9000", "use_ssl": "False"}, env(), func(s Settings) bool { return s.Endpoint == "http://host:9000" }},
		{"endpoint variable", map[string]string{"url": "s3://b"}, env("AWS_ENDPOINT_URL", "https://e"), func(s Settings) bool { return s.Endpoint == "https://e" }},
		{"keys by variables", map[string]string{"url": "s3://b"}, env("AWS_ACCESS_KEY_ID", "i", "AWS_SECRET_ACCESS_KEY", "k", "AWS_SESSION_TOKEN", "t"),
			func(s Settings) bool {
				return s.AccessKeyID == "i" && s.SecretAccessKey == "k" && s.SessionToken == "t"
			}},
		{"config wins", map[string]string{"url": "s3://b", "access_key_id": "c", "secret_access_key": "d", "region": "r"}, env("AWS_ACCESS_KEY_ID", "i", "AWS_SECRET_ACCESS_KEY", "k", "AWS_SESSION_TOKEN", "t", "AWS_REGION", "x"),
			func(s Settings) bool { return s.AccessKeyID == "c" && s.SessionToken == "" && s.Region == "r" }},
		{"profile wins", map[string]string{"url": "s3://b", "profile": "p"}, env("AWS_ACCESS_KEY_ID", "i", "AWS_SECRET_ACCESS_KEY", "k"),
			func(s Settings) bool { return s.AccessKeyID == "" && s.Profile == "p" }},
		{"region", map[string]string{"url": "s3://b"}, env("AWS_DEFAULT_REGION", "ru-msk"), func(s Settings) bool { return s.Region == "ru-msk" }},
		{"files", map[string]string{"url": "s3://b", "credentialpath": "c", "configpath": "~/d"}, env("HOME", "/home/u"),
			func(s Settings) bool {
				return s.CredentialsFile == filepath.Join(dir, "c") && s.ConfigFile == filepath.FromSlash("/home/u/d")
			}},
		{"file variable wins", map[string]string{"url": "s3://b", "credentialpath": "c"}, env("AWS_SHARED_CREDENTIALS_FILE", "/x"), func(s Settings) bool { return s.CredentialsFile == "/x" }},
		{"timeouts", map[string]string{"url": "s3://b", "read_timeout": "7", "connect_timeout": "3"}, env(),
			func(s Settings) bool { return s.ReadTime == 7*time.Second && s.ConnectTime == 3*time.Second }},
		// the MD5 is `printf 0123456789abcdef0123456789abcdef | md5sum`
		{"customer key", map[string]string{"url": "s3://b", "sse_customer_key": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="}, env(),
			func(s Settings) bool {
				alg, key, sum := s.customerKey()
				return *alg == "AES256" && *key == "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" && *sum == "hRasmdxgYDKV3nvbahU1MA=="
			}},
		{"ignored", map[string]string{"url": "s3://b", "listobjects": "true", "no_traverse": "false", "jobs": "4", "verify": "true", "cache_regions": "true"}, env(), func(s Settings) bool { return true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse("r", tt.config, dir, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(s) {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const secret = "se/cret+value"
	tests := map[string]map[string]string{
		"url":             {"url": "https://b"},
		"no bucket":       {"url": "s3:///x"},
		"user in url":     {"url": "s3://id:" + secret + "@host/b"},
		"endpoint":        {"url": "s3://b", "endpointurl": "ftp://x"},
		"secret endpoint": {"url": "s3://b", "endpointurl": "https://id:" + secret + "@host"},
		"half keys":       {"url": "s3://b", "secret_access_key": secret},
		"bool":            {"url": "s3://b", "use_ssl": "maybe"},
		"timeout":         {"url": "s3://b", "read_timeout": "soon"},
		"CA":              {"url": "s3://b", "ssl_verify": "no/such/file"},
		"customer key":    {"url": "s3://b", "sse_customer_key": secret + "!"},
		"two keys":        {"url": "s3://b", "sse_customer_key": "MDEyMw==", "sse_kms_key_id": "k"},
		"acl":             {"url": "s3://b", "acl": "private", "grant_read": "id=x"},
		"version_aware":   {"url": "s3://b", "version_aware": "true"},
	}
	for name, config := range tests {
		_, err := Parse("r", config, "", noEnv)
		if errs.KindOf(err) != errs.ProjectFile || !strings.Contains(errs.HintOf(err), "ctrx remote modify r ") {
			t.Errorf("%s: %v, hint %q", name, err, errs.HintOf(err))
			continue
		}
		if strings.Contains(err.Error()+errs.HintOf(err), secret) {
			t.Errorf("%s: the secret is in %v", name, err)
		}
	}
}

func TestAddressingStyle(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	text := "[default]\nregion = x\ns3 =\n  addressing_style = path\n[profile v]\ns3 =\n    max_queue_size = 3\n    addressing_style = virtual\noutput = json\n[profile none]\ns3 =\noutput = text\naddressing_style = virtual\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for profile, want := range map[string]Settings{"": {styleFixed: true}, "v": {styleFixed: true, Virtual: true}, "none": {}, "other": {}} {
		got, err := Settings{Profile: profile, ConfigFile: file}.WithAddressing(noEnv)
		if err != nil || got.Virtual != want.Virtual || got.styleFixed != want.styleFixed {
			t.Errorf("%q: %+v, %v", profile, got, err)
		}
	}
	if _, err := (Settings{ConfigFile: file + "none"}).WithAddressing(noEnv); err != nil {
		t.Error(err)
	}
}

func TestDefaultRegion(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://hb.ru-msk.vkcloud-storage.ru": "ru-msk",
		"https://hb.vkcs.cloud":                "ru-msk",
		"https://hb.bizmrg.com":                "ru-msk",
		"https://storage.yandexcloud.net":      "ru-central1",
		"https://x.r2.cloudflarestorage.com":   "auto",
		"http://127.0.0.1:9000":                "us-east-1",
		"https://evilvkcs.cloud":               "us-east-1",
		"":                                     "us-east-1",
	} {
		if got := defaultRegion(endpoint); got != want {
			t.Errorf("%s: %s", endpoint, got)
		}
	}
}

// TestHintsWithoutRemote: a place that is no remote is told how to set options
// of its own, and never of a remote with an empty name.
func TestHintsWithoutRemote(t *testing.T) {
	set := Settings{Bucket: "b"}
	for _, hint := range []string{
		credentialsHint(set), errs.HintOf(noBucket(set, errors.New("x"))), errs.HintOf(badAWSFiles(set, errors.New("x"))), set.modify("region", "R"),
	} {
		if hint == "" || strings.Contains(hint, "remote modify") {
			t.Errorf("%q", hint)
		}
	}
	if got := set.modify("endpointurl", "URL"); got != "--fs-config endpointurl=URL" {
		t.Error(got)
	}
	set.Name = "r"
	if got := set.modify("endpointurl", "URL"); got != "ctrx remote modify r endpointurl URL" {
		t.Error(got)
	}
}
