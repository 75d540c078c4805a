package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"regexp"
	"syscall"

	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// errNotS3 is an answer that no S3 server gives. Without looking, a web page
// that says 200 to everything would pass for an empty bucket.
var errNotS3 = errors.New("the answer lacks what every S3 server sends")

// likeS3 checks for a part that each answer of its kind has.
func likeS3(part *string) error {
	if part == nil || *part == "" {
		return errNotS3
	}
	return nil
}

// explain gives an error of the SDK its kind and hint. The SDK's text is kept:
// it holds the operation, the server's code and message and the request id, but
// no keys.
func (b *Backend) explain(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return b.explainCode(err, api)
	}
	return b.explainTransport(err)
}

func status(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil && response.Response.Response != nil {
		return response.HTTPStatusCode()
	}
	return 0
}

// explainCode goes by the server's code, and by the HTTP status for answers
// without one (HEAD).
func (b *Backend) explainCode(err error, api smithy.APIError) error {
	switch api.ErrorCode() {
	case "NoSuchKey", "NotFound":
		return fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
	case "NoSuchBucket":
		return noBucket(b.set, err)
	case "InvalidBucketName":
		return errs.Hint(errs.New(errs.ProjectFile, "%q is no name of a bucket: %w", b.set.Bucket, err),
			"%s: 3 to 63 small letters, digits, dots and hyphens, a letter or digit at both ends", b.set.correctURL("set"))
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "InvalidRegion":
		return b.wrongRegion(err, api)
	case "RequestTimeTooSkewed":
		return errs.Hint(errs.New(errs.Auth, "%w", err), "the clock of this machine is wrong: set it, for example with `timedatectl set-ntp true`")
	case "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
		"TokenRefreshRequired", "InvalidSecurity", "AllAccessDisabled", "AccountProblem", "NotSignedUp", "MissingSecurityHeader", "UnauthorizedAccess",
		"XAdminUserNotFound": // versitygw's word for an unknown key id, with status 404

		return b.refused(err)
	case "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests",
		"BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody": // content was checked before it left: the way damaged it
		return storage.Transient(err)
	}
	switch code := status(err); {
	case code == http.StatusForbidden || code == http.StatusUnauthorized:
		return b.refused(err)
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return storage.Transient(err)
	case code == http.StatusMovedPermanently:
		return b.wrongRegion(err, api)
	}
	return err
}

// explainTransport is for requests that got no answer in S3's form.
func (b *Backend) explainTransport(err error) error {
	modify := b.set.modify
	unreachable := func(hint string) error {
		return errs.Hint(errs.New(errs.Unreachable, "%s: %w", b.where(), err), "%s", hint)
	}
	var (
		unknown  x509.UnknownAuthorityError
		invalid  x509.CertificateInvalidError
		hostname x509.HostnameError
		record   tls.RecordHeaderError
		dns      *net.DNSError
		op       *net.OpError
		decode   *smithy.DeserializationError
		serial   *smithy.SerializationError
	)
	switch {
	case errors.As(err, &unknown), errors.As(err, &invalid):
		return unreachable("the server's certificate is not trusted here: `" + modify("ssl_verify", "/path/to/ca.pem") + "`")
	case errors.As(err, &hostname):
		return unreachable("the server's certificate is for another name: check `" + modify("endpointurl", "https://HOST") + "`")
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return unreachable("the server does not speak TLS on this port, or only TLS: check the http:// or https:// of `" + modify("endpointurl", "URL") + "`")
	case errors.As(err, &dns):
		return unreachable("the name of the server is not known: check `" + modify("endpointurl", "https://HOST") + "`, the network and the proxy settings")
	case errors.As(err, &op) && op.Op == "dial", errors.Is(err, syscall.ECONNREFUSED):
		return unreachable("nothing answers there: check `" + modify("endpointurl", "https://HOST:PORT") + "`, the network and the proxy settings")
	case errors.As(err, &serial):
		return err // the request could not even be written: a bug or a bad setting
	case isTimeout(err):
		return storage.Transient(errs.Hint(errs.New(errs.Unreachable, "%s does not answer: %w", b.where(), err),
			"try again; for slow networks `%s`", modify("read_timeout", "300")))
	case isReset(err):
		return storage.Transient(err)
	case errors.As(err, &decode), errors.Is(err, errNotS3):
		return errors.Join(b.notS3(), err)
	}
	return err
}

// notS3 is for answers that no S3 server gives.
func (b *Backend) notS3() error {
	return errs.Hint(errs.New(errs.Unreachable, "%s does not answer like an S3 server", b.where()),
		"check `%s`: is it the address of the S3 API, and not of a web page?", b.set.modify("endpointurl", "https://HOST"))
}

// where names the server for messages.
func (b *Backend) where() string {
	if b.set.Endpoint == "" {
		return b.set.URL()
	}
	return b.set.Endpoint
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &op)
}

// isAccessDenied tells the answer to keys that are known but lack a right.
func isAccessDenied(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && (api.ErrorCode() == "AccessDenied" || api.ErrorCode() == "Forbidden")
}

func (b *Backend) refused(err error) error {
	return errs.Hint(errs.New(errs.Auth, "%s refused access to %s: %w", b.where(), b.set.URL(), err),
		"%s", credentialsHint(b.set))
}

// modify is what sets an option of the remote, or of a place without one.
func (s Settings) modify(key, value string) string {
	if s.Name == "" {
		return fmt.Sprintf("--fs-config %s=%s", key, value)
	}
	return fmt.Sprintf("ctrx remote modify %s %s %s", s.Name, key, value)
}

// correctURL says what to do about a wrong address.
func (s Settings) correctURL(verb string) string {
	if s.Name == "" {
		return verb + " the address, s3://BUCKET/PATH"
	}
	return verb + " `" + s.modify("url", "s3://BUCKET/PREFIX") + "`"
}

func credentialsHint(set Settings) string {
	if set.Name == "" {
		return fmt.Sprintf("set the keys with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws/credentials with AWS_PROFILE or `%s`; "+
			"they need the right to read and list %s", set.modify("profile", "NAME"), set.URL())
	}
	return fmt.Sprintf("set the keys with `ctrx remote modify --local %[1]s access_key_id ID` and `ctrx remote modify --local %[1]s secret_access_key KEY`, "+
		"or with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws/credentials with `ctrx remote modify %[1]s profile NAME`; "+
		"they need the right to read, write and list %[2]s", set.Name, set.URL())
}

// noCredentials: none were found. err says where they were looked for.
func noCredentials(set Settings, err error) error {
	return errs.Hint(errs.New(errs.Auth, "no credentials for %s: %w", set.URL(), err), "%s", credentialsHint(set))
}

func badAWSFiles(set Settings, err error) error {
	return errs.Hint(errs.New(errs.Auth, "remote %q: AWS configuration: %w", set.Name, err),
		"check ~/.aws/config and ~/.aws/credentials, AWS_PROFILE, and `%s`", set.modify("profile", "NAME"))
}

func noBucket(set Settings, err error) error {
	return errs.Hint(errs.New(errs.NotFound, "the bucket %s does not exist: %w", set.Bucket, err),
		"create it in the console of the store, or %s", set.correctURL("correct"))
}

// wrongRegion: the signature was made for another region than the server's.
func (b *Backend) wrongRegion(err error, api smithy.APIError) error {
	region := "REGION"
	if m := regexp.MustCompile(`expecting ['\"]([a-zA-Z0-9-]+)['\"]`).FindStringSubmatch(api.ErrorMessage()); m != nil {
		region = m[1]
	}
	return errs.Hint(errs.New(errs.Auth, "the region of %s is wrong: %w", b.set.URL(), err),
		"%s", b.set.modify("region", region))
}

// redirectRegion reads the header by which AWS names the region of a bucket.
func redirectRegion(err error) string {
	var response *smithyhttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil || response.Response.Response == nil {
		return ""
	}
	if code := response.HTTPStatusCode(); code != http.StatusMovedPermanently && code != http.StatusBadRequest && code != http.StatusTemporaryRedirect {
		return ""
	}
	return response.Response.Header.Get("X-Amz-Bucket-Region")
}

// wantsVirtualHost tells the codes by which stores refuse path-style addresses
// (Alibaba OSS, Volcano TOS, Tencent COS).
func wantsVirtualHost(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "SecondLevelDomainForbidden", "InvalidPathAccess", "PathStyleDomainForbidden":
		return true
	}
	return false
}
