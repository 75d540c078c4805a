package web

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
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/icholy/digest"

	"ctrx/internal/errs"
	"ctrx/storage"
)

// maxRedirects bounds how often a server may send elsewhere.
const maxRedirects = 10

// resumes is how often a download is taken up again after it broke off.
const resumes = 4

// Client talks to web servers with the settings of a remote.
type Client struct {
	set       Settings
	http      *http.Client
	transport *http.Transport

	mu    sync.Mutex
	asked string // the password a person typed
}

// NewClient makes a Client; set.URL is not looked at.
func NewClient(set Settings) (*Client, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: set.ConnectTime}).DialContext,
		TLSHandshakeTimeout:   set.ConnectTime,
		ResponseHeaderTimeout: set.ReadTime,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: set.NoVerify},
	}
	if set.CAFile != "" {
		pem, err := os.ReadFile(set.CAFile)
		pool := x509.NewCertPool()
		if err != nil || !pool.AppendCertsFromPEM(pem) {
			return nil, errs.Hint(errs.New(errs.ProjectFile, "remote %q: ssl_verify: neither true, false nor a file of certificates: %s", set.Name, set.CAFile),
				"ctrx remote modify %s ssl_verify FILE", set.Name)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	c := &Client{set: set, transport: t}
	c.http = &http.Client{Transport: t, CheckRedirect: c.redirect}
	return c, nil
}

// Close lets go of idle connections.
func (c *Client) Close() error {
	c.transport.CloseIdleConnections()
	return nil
}

// redirect follows a server that sends elsewhere, but not with an upload that
// would become a question, and not with our secrets to another host.
func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return errs.New(errs.Failed, "the server sends on and on")
	}
	if req.Method != via[0].Method {
		return http.ErrUseLastResponse
	}
	if c.set.Auth == "digest" && req.URL.Host != via[0].URL.Host {
		return errs.New(errs.Auth, "the server sends to another one, %s, which gets no digest of the password", req.URL.Host)
	}
	if req.URL.Host != via[0].URL.Host || via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		req.Header.Del("Authorization")
		if c.set.Header != "" {
			req.Header.Del(c.set.Header)
		}
	}
	return nil
}

// secret gives the password, asking for it once.
func (c *Client) secret(ctx context.Context) (string, error) {
	if c.set.Password != "" || c.set.Auth == "" {
		return c.set.Password, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked != "" {
		return c.asked, nil
	}
	if c.set.Ask == nil {
		return "", errs.Hint(errs.New(errs.Auth, "the password of remote %q must be asked for, and there is no terminal", c.set.Name),
			"ctrx remote modify --local %s password PASSWORD", c.set.Name)
	}
	var err error
	c.asked, err = c.set.Ask(ctx, fmt.Sprintf("Password of %s for remote %s: ", c.set.User, c.set.Name))
	return c.asked, err
}

// do sends a request. The caller closes the body, and calls beat with each byte
// that moves: without one for the read timeout the request ends.
func (c *Client) do(ctx context.Context, req *http.Request) (resp *http.Response, beat func(), stop func(), err error) {
	secret, err := c.secret(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	req.Header.Set("User-Agent", "ctrx")
	req.Header.Set("Accept-Encoding", "identity")
	client := *c.http
	switch c.set.Auth {
	case "basic":
		req.SetBasicAuth(c.set.User, secret)
	case "custom":
		req.Header.Set(c.set.Header, secret)
	case "digest":
		client.Transport = &digest.Transport{Username: c.set.User, Password: secret, Transport: c.transport}
	}
	inner, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.set.ReadTime+c.set.ConnectTime, func() { cancel(errIdle) })
	beat = func() { timer.Reset(c.set.ReadTime) }
	stop = func() { timer.Stop(); cancel(nil) }
	if body, ok := req.Body.(*beatingBody); ok {
		body.beat = beat
	}
	resp, err = client.Do(req.WithContext(inner))
	if err != nil {
		idle := errors.Is(context.Cause(inner), errIdle)
		stop()
		return nil, nil, nil, c.broken(ctx, req.URL, err, idle)
	}
	return resp, beat, stop, nil
}

var errIdle = errors.New("no byte moved within the read timeout")

// broken explains why there was no answer, or only a part of one.
func (c *Client) broken(ctx context.Context, u *url.URL, err error, idle bool) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // its text has the address, with a password in it
	}
	var kind interface{ Kind() errs.Kind }
	if errors.As(err, &kind) {
		return err
	}
	if idle {
		err = errIdle
	}
	hint := "check the address and the network; try: curl -I " + plain(u)
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		hint = "name the authority's certificate: " + c.set.option("ssl_verify", "FILE")
	case idle:
		hint = c.set.option("read_timeout", "SECONDS") + ", or repeat the command"
	}
	out := errs.Hint(errs.New(errs.Unreachable, "%s: %w", plain(u), err), "%s", hint)
	var dns *net.DNSError
	if cert != nil || errors.As(err, &dns) && !dns.IsTemporary || isRefused(err) {
		return out
	}
	return storage.Transient(out)
}

// isRefused tells that nothing listens there: trying again at once is no use.
func isRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// plain is an address without a password and without a query, which may hold
// one too.
func plain(u *url.URL) string {
	p := *u
	p.User, p.RawQuery, p.Fragment = nil, "", ""
	return p.String()
}

// status gives the error that an answer stands for, nil for a good one.
func (c *Client) status(u *url.URL, resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusNotFound, code == http.StatusGone:
		return fmt.Errorf("%s: %w", plain(u), fs.ErrNotExist)
	case code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusProxyAuthRequired:
		hint := fmt.Sprintf("ctrx remote add NAME %s://%s, set its auth, user and password, and name the data remote://NAME/PATH", u.Scheme, u.Host)
		if c.set.Name != "" {
			hint = fmt.Sprintf("ctrx remote modify %[1]s auth basic (or digest, custom), then --local %[1]s user USER and password PASSWORD", c.set.Name)
		}
		return errs.Hint(errs.New(errs.Auth, "%s: the server answers %s", plain(u), resp.Status), "%s", hint)
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests,
		code >= 500 && code != http.StatusNotImplemented && code != http.StatusInsufficientStorage:
		return storage.Transient(errs.Hint(errs.New(errs.Unreachable, "%s: the server answers %s", plain(u), resp.Status), "repeat the command later: what was transferred stays"))
	default:
		return errs.New(errs.Failed, "%s: the server answers %s", plain(u), resp.Status)
	}
}

// Head is what a server tells of an address.
type Head struct {
	Size     int64  // bytes; -1: it does not tell
	Checksum string // its ETag header, else Content-MD5, as sent; "" where there is neither
	ranges   bool
}

func headOf(resp *http.Response) Head {
	h := Head{Size: resp.ContentLength, Checksum: resp.Header.Get("ETag"), ranges: resp.Header.Get("Accept-Ranges") == "bytes"}
	if h.Checksum == "" {
		h.Checksum = resp.Header.Get("Content-MD5")
	}
	return h
}

// Head asks what is at an address. A server that does not know that question is
// asked for the content, of which nothing is read.
func (c *Client) Head(ctx context.Context, u *url.URL) (Head, error) {
	resp, err := c.ask(ctx, http.MethodHead, u)
	if err != nil {
		return Head{}, err
	}
	if code := resp.StatusCode; code == http.StatusMethodNotAllowed || code == http.StatusNotImplemented {
		if resp, err = c.ask(ctx, http.MethodGet, u); err != nil {
			return Head{}, err
		}
	}
	return headOf(resp), c.status(u, resp)
}

func (c *Client) ask(ctx context.Context, method string, u *url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	resp, _, stop, err := c.do(ctx, req)
	if err != nil {
		return nil, err
	}
	defer stop()
	return resp, resp.Body.Close()
}

// Get writes the content of an address to w and gives its size in bytes. A
// download that breaks off goes on at the byte where it was if the server names
// versions of the content (by an ETag) and gives parts.
func (c *Client) Get(ctx context.Context, u *url.URL, w io.Writer) (int64, error) {
	return c.GetFrom(ctx, u, "", 0, w)
}

// GetFrom writes the content from a byte on, of the version that etag names as
// Announce told it (storage.Announced). A server that has another one now, or
// gives no parts, is an error that wraps storage.ErrReplaced. It gives the size
// of the whole in bytes.
func (c *Client) GetFrom(ctx context.Context, u *url.URL, etag string, offset int64, w io.Writer) (int64, error) {
	d := download{c: c, u: u, w: w, done: offset, etag: etag}
	for n := 0; ; n++ {
		before := d.done
		err := d.run(ctx)
		if err == nil || d.stuck || !storage.IsTransient(err) || d.done == before || d.etag == "" || n >= resumes {
			return d.done, err
		}
	}
}

// download is a GET that may take several requests.
type download struct {
	c    *Client
	u    *url.URL
	w    io.Writer
	done int64
	etag string // a strong one; "" where there is none

	stuck bool // w failed: what it has is not known
}

func (d *download) run(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.u.String(), nil)
	if err != nil {
		return err
	}
	if d.done > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(d.done, 10)+"-")
		req.Header.Set("If-Range", d.etag)
	}
	resp, beat, stop, err := d.c.do(ctx, req)
	if err != nil {
		return err
	}
	defer stop()
	defer resp.Body.Close()
	if d.done > 0 && resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return errs.New(errs.Failed, "%s: %w: it does not have %d bytes any more", plain(d.u), storage.ErrReplaced, d.done)
	}
	if err := d.c.status(d.u, resp); err != nil {
		return err
	}
	if d.done > 0 && (resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", d.done))) {
		return errs.New(errs.Failed, "%s: the connection broke after %d bytes, and the server does not give the rest: %w", plain(d.u), d.done, storage.ErrReplaced)
	}
	if d.done == 0 {
		if tag := resp.Header.Get("ETag"); strings.HasPrefix(tag, `"`) {
			d.etag = tag
		}
		if a, ok := d.w.(storage.Announced); ok {
			a.Announce(storage.Object{Size: resp.ContentLength, ETag: d.etag})
		}
	}
	return d.copy(ctx, resp, beat)
}

func (d *download) copy(ctx context.Context, resp *http.Response, beat func()) error {
	buf := make([]byte, 128<<10)
	var got int64
	for {
		n, err := resp.Body.Read(buf)
		if n > 0 {
			beat()
			got += int64(n)
			d.done += int64(n)
			if _, err := d.w.Write(buf[:n]); err != nil {
				d.stuck = true
				return err
			}
		}
		switch {
		case err == io.EOF && resp.ContentLength >= 0 && got != resp.ContentLength:
			return storage.Transient(errs.New(errs.Failed, "%s: the connection ended after %d of %d bytes", plain(d.u), got, resp.ContentLength))
		case err == io.EOF:
			return nil
		case err != nil:
			return d.c.broken(ctx, d.u, err, errors.Is(err, errIdle))
		}
	}
}

// beatingBody tells of every byte that goes up. After Close, which waits for a
// Read under way, the reader is the caller's again.
type beatingBody struct {
	r    io.Reader
	beat func()

	mu     sync.Mutex
	closed bool
}

func (b *beatingBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, fs.ErrClosed
	}
	if b.beat != nil {
		b.beat()
	}
	return b.r.Read(p)
}

func (b *beatingBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// upload sends size bytes of r.
func (c *Client) upload(ctx context.Context, u *url.URL, r io.ReadSeeker, size int64, sum string) error {
	var last *beatingBody
	body := func() (io.ReadCloser, error) { // once more for a redirect or a challenge
		if last != nil {
			last.Close()
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		last = &beatingBody{r: io.LimitReader(&watchedReader{ctx: ctx, r: r}, size)}
		return last, nil
	}
	defer func() { last.Close() }()
	first, err := body()
	if err != nil {
		last = &beatingBody{}
		return err
	}
	req, err := http.NewRequestWithContext(ctx, c.set.Method, u.String(), first)
	if err != nil {
		return err
	}
	req.GetBody, req.ContentLength = body, size
	if size == 0 {
		req.Body = http.NoBody
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	req.Header.Set("Content-MD5", sum)
	resp, _, stop, err := c.do(ctx, req)
	if err != nil {
		return err
	}
	defer stop()
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 64<<10); err != nil && err != io.EOF {
		return c.broken(ctx, u, err, errors.Is(err, errIdle))
	}
	if code := resp.StatusCode; code == http.StatusMethodNotAllowed || code == http.StatusNotImplemented {
		return errs.Hint(errs.New(errs.Failed, "%s: the server takes no uploads by %s: it answers %s", plain(u), c.set.Method, resp.Status),
			"ctrx remote modify %s method PUT (or POST)", c.set.Name)
	}
	err = c.status(u, resp)
	if errors.Is(err, fs.ErrNotExist) { // the place to put it, not the object
		return errs.Hint(errs.New(errs.NotFound, "%s: the server answers %s to %s", plain(u), resp.Status, c.set.Method), "ctrx remote modify %s url URL, or method PUT", c.set.Name)
	}
	return err
}
