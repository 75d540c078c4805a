package s3

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"ctrx/internal/errs"
)

// newClient makes the SDK's client. The provider is nil for anonymous access.
func newClient(ctx context.Context, set Settings) (*awss3.Client, aws.CredentialsProvider, error) {
	hc, err := httpClient(set)
	if err != nil {
		return nil, nil, err
	}
	opts := []func(*config.LoadOptions) error{
		config.WithHTTPClient(hc),
		config.WithLogger(logging.Nop{}),
		// The SDK's default since 2025, a CRC with every request, breaks many
		// S3-compatible stores.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
		config.WithRetryer(func() aws.Retryer { return newRetryer() }),
	}
	if set.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(set.Profile))
	}
	if set.Region != "" {
		opts = append(opts, config.WithRegion(set.Region))
	}
	if set.CredentialsFile != "" {
		opts = append(opts, config.WithSharedCredentialsFiles([]string{set.CredentialsFile}))
	}
	if set.ConfigFile != "" {
		opts = append(opts, config.WithSharedConfigFiles([]string{set.ConfigFile}))
	}
	switch {
	case set.Anonymous:
		opts = append(opts, config.WithCredentialsProvider(aws.AnonymousCredentials{}))
	case set.AccessKeyID != "":
		opts = append(opts, config.WithCredentialsProvider(
			credentials.NewStaticCredentialsProvider(set.AccessKeyID, set.SecretAccessKey, set.SessionToken)))
	}
	if set.Endpoint != "" {
		// The credentials of an AWS machine are of no use elsewhere, and
		// asking for them takes seconds on every other machine.
		opts = append(opts, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	cfg, err := config.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, nil, badAWSFiles(set, err)
	}
	client := awss3.NewFromConfig(cfg, func(o *awss3.Options) { clientOptions(set, o) })
	creds := cfg.Credentials
	if set.Anonymous {
		creds = nil
	}
	return client, creds, nil
}

func clientOptions(set Settings, o *awss3.Options) {
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	o.DisableLogOutputChecksumValidationSkipped = true
	o.DisableS3ExpressSessionAuth = aws.Bool(true)
	if set.Endpoint != "" {
		o.BaseEndpoint = aws.String(set.Endpoint)
	}
	// Other stores always know path-style addresses, and a bucket as part of
	// the host name needs DNS and certificates that a server of one's own
	// seldom has. A store that wants it the other way says so: see Backend.call.
	o.UsePathStyle = o.BaseEndpoint != nil && !set.Virtual
	if strings.Contains(set.Bucket, ".") && o.BaseEndpoint == nil {
		o.UsePathStyle = true // the certificate does not cover such host names
	}
	if o.BaseEndpoint == nil && set.NoTLS {
		o.EndpointOptions.DisableHTTPS = true
	}
	if o.Region == "" {
		o.Region = defaultRegion(aws.ToString(o.BaseEndpoint))
	}
}

// defaultRegion is the region of a store by its address, where none is set.
func defaultRegion(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "us-east-1"
	}
	host := u.Hostname()
	for _, known := range []struct{ suffix, region string }{
		{"vkcs.cloud", "ru-msk"},
		{"vkcloud-storage.ru", "ru-msk"},
		{"bizmrg.com", "ru-msk"},
		{"yandexcloud.net", "ru-central1"},
		{"r2.cloudflarestorage.com", "auto"},
	} {
		if host == known.suffix || strings.HasSuffix(host, "."+known.suffix) {
			return known.region
		}
	}
	return "us-east-1" // what S3 means by no region, and most own servers take
}

// newRetryer tries again after what the SDK knows to be transient. Its rate
// limiter is left out: it would end a transfer of thousands of objects for the
// sum of their small troubles.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = 4
		o.MaxBackoff = 8 * time.Second
		o.RateLimiter = ratelimit.None
		o.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(neverBetter)}, o.Retryables...)
	})
}

// neverBetter keeps from repeating what time does not mend.
func neverBetter(err error) aws.Ternary {
	var (
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		dns      *net.DNSError
	)
	if errors.As(err, &unknown) || errors.As(err, &invalid) || errors.As(err, &hostname) ||
		errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, &dns) && dns.IsNotFound {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

func httpClient(set Settings) (*awshttp.BuildableClient, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: set.NoVerify}
	if set.CAFile != "" {
		pem, err := os.ReadFile(set.CAFile)
		if err != nil {
			return nil, errs.New(errs.ProjectFile, "remote %q: certificates: %w", set.Name, err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, errs.New(errs.ProjectFile, "remote %q: %s holds no certificates in PEM form", set.Name, set.CAFile)
		}
		tlsConfig.RootCAs = roots
	}
	dialer := &net.Dialer{Timeout: set.ConnectTime, KeepAlive: 30 * time.Second}
	return awshttp.NewBuildableClient().WithReadTimeout(0).WithTransportOptions(func(t *http.Transport) {
		t.TLSClientConfig = tlsConfig
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &patientConn{Conn: c, patience: set.ReadTime}, nil
		}
		t.TLSHandshakeTimeout = set.ConnectTime
		// Idle connections are kept for all workers: making one costs more
		// than a small object.
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 256
	}), nil
}

// patientConn ends a connection on which nothing moved for a while, in either
// direction. A deadline for whole requests would end slow ones that work.
type patientConn struct {
	net.Conn
	patience time.Duration
}

func (c *patientConn) Read(p []byte) (int, error) {
	c.SetDeadline(time.Now().Add(c.patience))
	n, err := c.Conn.Read(p)
	return n, err
}

func (c *patientConn) Write(p []byte) (int, error) {
	c.SetDeadline(time.Now().Add(c.patience))
	n, err := c.Conn.Write(p)
	// What was sent moves the deadline of a Read that waits for the answer.
	c.SetDeadline(time.Now().Add(c.patience))
	return n, err
}

// addressingStyle reads "addressing_style" from the "s3 =" block of a profile
// in the AWS config file, which botocore knows and the Go SDK does not.
func addressingStyle(set Settings, env func(string) string) (string, error) {
	file := set.ConfigFile
	if file == "" {
		home := env("HOME")
		if home == "" {
			home = env("USERPROFILE")
		}
		if home == "" {
			return "", nil
		}
		file = filepath.Join(home, ".aws", "config")
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read AWS config: %w", err)
	}
	defer f.Close()
	section := "[profile " + set.Profile + "]"
	if set.Profile == "" || set.Profile == "default" {
		section = "[default]"
	}
	in, inS3 := false, false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "[") {
			in, inS3 = strings.Join(strings.Fields(trimmed), " ") == section, false
			continue
		}
		key, value, _ := strings.Cut(trimmed, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if in && line != "" && line[0] != ' ' && line[0] != '\t' {
			inS3 = key == "s3" && value == ""
		} else if in && inS3 && key == "addressing_style" {
			return value, nil
		}
	}
	return "", lines.Err()
}

// WithAddressing completes the settings by the AWS config file's
// addressing_style (path, virtual, auto).
func (s Settings) WithAddressing(env func(string) string) (Settings, error) {
	style, err := addressingStyle(s, env)
	if err != nil {
		return s, err
	}
	switch style {
	case "virtual":
		s.Virtual, s.styleFixed = true, true
	case "path":
		s.styleFixed = true
	}
	return s, nil
}
