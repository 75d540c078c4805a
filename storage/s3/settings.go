package s3

import (
	"crypto/md5"
	"encoding/base64"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"ctrx/internal/settings"
)

// Settings are those of a remote section of DVC's config with an s3:// url
// (dvc-compat 8.5), filled up from the environment. They hold secrets: they are
// never printed.
type Settings struct {
	Name   string // of the remote, for hints
	Bucket string
	Prefix string // without slashes at its ends

	Endpoint string // endpointurl, with scheme; "" for AWS
	Region   string
	Profile  string

	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	Anonymous       bool

	CredentialsFile string // "" for the default
	ConfigFile      string

	NoTLS       bool   // use_ssl = false
	NoVerify    bool   // ssl_verify = false
	CAFile      string // ssl_verify = path
	ConnectTime time.Duration
	ReadTime    time.Duration // without any byte moving

	SSE         string
	KMSKeyID    string
	CustomerAlg string
	CustomerKey []byte
	ACL         string
	GrantRead, GrantReadACP, GrantWriteACP,
	GrantFull string

	Virtual    bool // bucket in the host name
	fromEnv    bool // the keys are those of AWS_* variables
	styleFixed bool // by a setting: do not try the other style
}

// Defaults for connect_timeout and read_timeout.
const (
	connectTime = 10 * time.Second
	readTime    = 60 * time.Second
)

// URL is the place of the remote, without secrets.
func (s Settings) URL() string { return "s3://" + path.Join(s.Bucket, s.Prefix) }

// Parse reads the keys of a remote section. env gives AWS_* variables; baseDir
// is what relative paths are relative to. Errors have the kind ProjectFile.
func Parse(name string, config map[string]string, baseDir string, env func(string) string) (Settings, error) {
	p := parser{settings.NewRemoteKeys(name, config, baseDir, env), config, env}
	s := Settings{Name: name}
	p.url(&s)
	s.Endpoint = p.endpoint()
	s.NoTLS = !p.Bool("use_ssl", true)
	if s.Endpoint != "" && !strings.Contains(s.Endpoint, "://") {
		scheme := "https://"
		if s.NoTLS {
			scheme = "http://"
		}
		s.Endpoint = scheme + s.Endpoint
	}
	p.checkEndpoint(s.Endpoint)
	p.verify(&s)
	s.Profile = p.first(config["profile"], env("AWS_PROFILE"), env("AWS_DEFAULT_PROFILE"))
	s.Region = p.first(config["region"], env("AWS_REGION"), env("AWS_DEFAULT_REGION"))
	p.credentials(&s)
	s.CredentialsFile = p.first(env("AWS_SHARED_CREDENTIALS_FILE"), p.Path("credentialpath"))
	s.ConfigFile = p.first(env("AWS_CONFIG_FILE"), p.Path("configpath"))
	s.ConnectTime = p.Seconds("connect_timeout", connectTime)
	s.ReadTime = p.Seconds("read_timeout", readTime)
	p.encryption(&s)
	p.acl(&s)
	p.Versions("remotes that rely on the versioning of the store are not supported")
	return s, p.Err()
}

// parser reads what one key alone does not say.
type parser struct {
	*settings.RemoteKeys
	config map[string]string
	env    func(string) string
}

func (p *parser) first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func (p *parser) url(s *Settings) {
	rest, ok := strings.CutPrefix(p.config["url"], "s3://")
	bucket, prefix, _ := strings.Cut(rest, "/")
	if !ok || bucket == "" || strings.ContainsAny(bucket, "@:?#") {
		p.Fail("url", "%q is not of the form s3://BUCKET/PREFIX", redact(p.config["url"]))
		return
	}
	s.Bucket, s.Prefix = bucket, strings.Trim(path.Clean("/"+prefix), "/")
}

// redact hides what could be a password in a url.
func redact(raw string) string {
	if i := strings.LastIndexByte(raw, '@'); i >= 0 {
		scheme, _, _ := strings.Cut(raw, "://")
		return scheme + "://***@" + raw[i+1:]
	}
	return raw
}

func (p *parser) endpoint() string {
	return p.first(p.config["endpointurl"], p.env("AWS_ENDPOINT_URL_S3"), p.env("AWS_ENDPOINT_URL"))
}

func (p *parser) checkEndpoint(endpoint string) {
	if endpoint == "" {
		return
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		p.Fail("endpointurl", "%q is not an address like https://hb.ru-msk.vkcloud-storage.ru", redact(endpoint))
	case u.User != nil:
		p.Fail("endpointurl", "%q has a user or password in it; use access_key_id and secret_access_key", redact(endpoint))
	case u.RawQuery != "" || u.Fragment != "":
		p.Fail("endpointurl", "%q must end after host and path", redact(endpoint))
	}
}

func (p *parser) verify(s *Settings) {
	switch v := p.config["ssl_verify"]; strings.ToLower(v) {
	case "", "true":
		s.CAFile = p.env("AWS_CA_BUNDLE")
	case "false":
		s.NoVerify = true
	default:
		s.CAFile = p.Path("ssl_verify")
		if _, err := os.Stat(s.CAFile); err != nil {
			p.Fail("ssl_verify", "neither true, false nor a file of certificates: %v", err)
		}
	}
}

func (p *parser) credentials(s *Settings) {
	s.Anonymous = p.Bool("allow_anonymous_login", false)
	s.AccessKeyID, s.SecretAccessKey = p.config["access_key_id"], p.config["secret_access_key"]
	s.SessionToken = p.config["session_token"]
	if (s.AccessKeyID == "") != (s.SecretAccessKey == "") {
		p.Fail("access_key_id", "access_key_id and secret_access_key go together, one of them is missing")
	}
	// A profile that was asked for wins over variables, as in DVC.
	if s.AccessKeyID == "" && p.config["profile"] == "" {
		id, secret := p.env("AWS_ACCESS_KEY_ID"), p.env("AWS_SECRET_ACCESS_KEY")
		if id != "" && secret != "" {
			s.AccessKeyID, s.SecretAccessKey, s.SessionToken = id, secret, p.env("AWS_SESSION_TOKEN")
			s.fromEnv = true
		}
	}
}

func (p *parser) encryption(s *Settings) {
	s.SSE, s.KMSKeyID = p.config["sse"], p.config["sse_kms_key_id"]
	if v := p.config["sse_customer_key"]; v != "" {
		key, err := base64.StdEncoding.DecodeString(v)
		if err != nil {
			p.Fail("sse_customer_key", "not base64") // the value is a secret
		}
		s.CustomerKey = key
		s.CustomerAlg = p.first(p.config["sse_customer_algorithm"], "AES256")
		if s.KMSKeyID != "" {
			p.Fail("sse_customer_key", "excludes sse_kms_key_id")
		}
	}
}

// customerKey gives the three request headers for a key of the customer, or
// nils.
func (s Settings) customerKey() (alg, key, sum *string) {
	if len(s.CustomerKey) == 0 {
		return nil, nil, nil
	}
	h := md5.Sum(s.CustomerKey)
	return aws.String(s.CustomerAlg), aws.String(base64.StdEncoding.EncodeToString(s.CustomerKey)),
		aws.String(base64.StdEncoding.EncodeToString(h[:]))
}

func (p *parser) acl(s *Settings) {
	s.ACL = p.config["acl"]
	s.GrantRead, s.GrantReadACP = p.config["grant_read"], p.config["grant_read_acp"]
	s.GrantWriteACP, s.GrantFull = p.config["grant_write_acp"], p.config["grant_full_control"]
	if s.ACL != "" && s.GrantRead+s.GrantReadACP+s.GrantWriteACP+s.GrantFull != "" {
		p.Fail("acl", "excludes the grant_* settings")
	}
}

// strOrNil leaves a request header out when there is no value.
func strOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}
