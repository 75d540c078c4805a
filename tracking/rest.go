package tracking

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
	"ctrx/tracking/wire"
)

// rest sends requests to one server and repeats what failed for a passing
// reason.
type rest struct {
	base    *url.URL
	display string // the tracking URI without secrets
	client  *http.Client
	headers http.Header // authorization, workspace, user agent
	conf    settings
	wait    func(context.Context, time.Duration) error
	now     func() time.Time
	// patience ends retrying after this time, counted from the first
	// attempt; 0: only the number of retries counts.
	patience time.Duration
	// trouble is what a run still gives a server that fails; nil: without end.
	trouble *trouble
}

const (
	maxBackoff = 120 * time.Second
	firstRetry = 200 * time.Millisecond
)

// patience bounds what a failing server may cost. MLflow's own defaults, which
// the zero value leaves in force, amount to four minutes per request. What the
// environment sets explicitly always counts.
type patience struct {
	total   time.Duration // for one request with its repetitions
	timeout time.Duration // for one attempt; 0: MLflow's
	trouble time.Duration // for all requests together, see trouble; 0: no such limit
}

// withSpool is for runs that can go on without a server.
func withSpool() patience { return patience{trouble: troubleTime} }

// whenAsking is for a question that a user waits to be answered.
func whenAsking() patience { return patience{total: 6 * time.Second, timeout: 20 * time.Second} }

// whenSyncing is for a user who waits for an answer.
func whenSyncing() patience { return patience{total: 30 * time.Second} }

func newREST(cfg Config, base *url.URL, p patience) (*rest, error) {
	conf, err := readSettings(cfg.Env)
	if err != nil {
		return nil, err
	}
	transport := cfg.Transport
	if transport == nil {
		if transport, err = newTransport(cfg.Env); err != nil {
			return nil, err
		}
	}
	if u := base.User; u != nil && conf.username == "" {
		conf.username = u.Username()
		conf.password, _ = u.Password()
	}
	clean := *base
	clean.User, clean.RawQuery, clean.Fragment = nil, "", ""
	clean.Path = strings.TrimRight(clean.Path, "/")
	clean.RawPath = strings.TrimRight(clean.RawPath, "/")
	r := &rest{base: &clean, display: clean.String(), headers: http.Header{}, conf: conf, wait: cfg.Wait, now: cfg.Now}
	r.client = &http.Client{Transport: transport, CheckRedirect: r.checkRedirect}
	r.headers.Set("User-Agent", cfg.UserAgent)
	switch {
	case conf.username != "" && conf.password != "":
		req := http.Request{Header: http.Header{}}
		req.SetBasicAuth(conf.username, conf.password)
		r.headers.Set("Authorization", req.Header.Get("Authorization"))
	case conf.token != "":
		r.headers.Set("Authorization", "Bearer "+conf.token)
	}
	if conf.workspace != "" {
		r.headers.Set("X-MLFLOW-WORKSPACE", conf.workspace)
	}
	if !conf.retriesSet {
		r.patience = p.total
	}
	if !conf.timeoutSet && p.timeout > 0 {
		r.conf.timeout = p.timeout
	}
	if p.trouble > 0 && !conf.retriesSet {
		if conf.timeoutSet {
			p.trouble = conf.timeout
		}
		r.trouble = newTrouble(p.trouble)
	}
	return r, nil
}

// checkRedirect follows redirects as long as the request stays what it was: a
// POST that a redirect would turn into a GET is refused, and so is a step from
// https to http.
func (r *rest) checkRedirect(req *http.Request, via []*http.Request) error {
	to := req.URL.Scheme + "://" + req.URL.Host + req.URL.Path
	switch {
	case !r.conf.redirects:
		return errs.New(errs.Unreachable, "the server redirects to %s, and MLFLOW_ALLOW_HTTP_REDIRECTS forbids to follow", to)
	case len(via) >= 10:
		return errs.New(errs.Unreachable, "the server redirects in circles (%s)", to)
	case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
		return errs.New(errs.Unreachable, "the server redirects from https to %s, which would show the credentials to the network", to)
	case via[0].Method != req.Method:
		return errs.Hint(errs.New(errs.Unreachable, "the server redirects to %s, which loses the body of the request", to),
			"set the tracking URI to %s://%s", req.URL.Scheme, req.URL.Host)
	}
	if req.URL.Host != via[0].URL.Host {
		req.Header.Del("Authorization")
	}
	return nil
}

// request is one call of the API.
type request struct {
	method string
	path   string // below the base, escaped: "/api/2.0/mlflow/runs/get"
	query  url.Values
	in     any  // JSON body; nil: none
	once   bool // do not repeat: the call is not idempotent
	items  int  // metrics and the like in it: a large batch takes longer
	what   string
}

const apiPath = "/api/2.0/mlflow/"

// call sends a request and decodes the answer into out, unless that is nil.
func (r *rest) call(ctx context.Context, q request, out any) error {
	var body []byte
	if q.in != nil {
		var err error
		if body, err = wire.Marshal(q.in); err != nil {
			return fmt.Errorf("%s: %w", q.what, err)
		}
	}
	err := r.repeat(ctx, q.once, func(ctx context.Context) error {
		return r.attempt(ctx, usual+time.Duration(q.items)*usualPerItem, func(limit time.Duration) error {
			return r.callOnce(ctx, q, body, limit, out)
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", q.what, err)
	}
	return nil
}

// callOnce is one attempt of a call.
func (r *rest) callOnce(ctx context.Context, q request, body []byte, limit time.Duration, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, &timeoutError{limit})
	defer cancel()
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := r.newRequest(ctx, q.method, q.path, q.query, reader)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := r.send(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return r.unreachable(ctx, err)
	}
	return r.decode(resp, data, out)
}

func (r *rest) newRequest(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	target := r.base.String() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	for k, v := range r.headers {
		req.Header[k] = v
	}
	return req, nil
}

// send does one attempt. A status of 300 or more is an error; else the caller
// closes the body.
func (r *rest) send(req *http.Request) (*http.Response, error) {
	resp, err := r.client.Do(req)
	if err != nil {
		if resp != nil { // a refused redirect
			resp.Body.Close()
		}
		return nil, r.unreachable(req.Context(), err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // a part is enough for a message
	if err := req.Context().Err(); err != nil {             // of the embedded store, which says so in its answer
		return nil, r.unreachable(req.Context(), err)
	}
	return nil, r.refusal(resp, data)
}

func (r *rest) decode(resp *http.Response, data []byte, out any) error {
	if isHTML(resp, data) {
		return notMLflow(r.display, resp.StatusCode)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return errs.Hint(errs.New(errs.Unreachable, "%s answered something that is not MLflow's JSON: %w", r.display, err),
			"is this the address of an MLflow server? check MLFLOW_TRACKING_URI")
	}
	return nil
}

// repeat runs attempt until it succeeds, fails for good, or patience ends.
func (r *rest) repeat(ctx context.Context, once bool, attempt func(context.Context) error) error {
	start := r.now()
	for n := 1; ; n++ {
		err := attempt(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		delay, again := r.delay(err, n)
		if once || !again || n > r.conf.retries {
			return err
		}
		if r.patience > 0 && (r.now().Sub(start)+delay > r.patience || n > 1 && isDial(err)) {
			return err
		}
		if r.trouble != nil && n > 1 && isDial(err) || !r.trouble.wait(delay, r.now(), err) {
			return err
		}
		if err := r.wait(ctx, delay); err != nil {
			return err
		}
	}
}

// delay tells how long to wait before attempt n+1, and whether another attempt
// makes sense at all. It grows as in MLflow's client: factor x 2^n, with the
// first repetition almost at once.
func (r *rest) delay(err error, n int) (time.Duration, bool) {
	var refused *ServerError
	if errors.As(err, &refused) {
		if !refused.passing() {
			return 0, false
		}
		if r.conf.retryAfter && refused.retryAfter > 0 {
			return min(refused.retryAfter, maxBackoff), true
		}
	} else if !isNetwork(err) {
		return 0, false
	}
	if n == 1 {
		return firstRetry, true
	}
	seconds := r.conf.backoff*math.Pow(2, float64(n-1)) + rand.Float64()*r.conf.jitter
	return min(time.Duration(seconds*float64(time.Second)), maxBackoff), true
}

// ServerError is a refusal by the server: a status of 400 or more.
type ServerError struct {
	Status  int    // HTTP status
	Code    string // MLflow's error code, empty when the answer was not MLflow's
	Message string
	Server  string // URI without secrets

	retryAfter time.Duration
	kind       errs.Kind
	hint       string
}

// Error gives the message of the server.
func (e *ServerError) Error() string {
	text := fmt.Sprintf("%s refused it (%d", e.Server, e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	text += ")"
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Kind is Auth for 401 and 403, NotFound for a missing thing, Unreachable for
// a server in trouble, else Failed.
func (e *ServerError) Kind() errs.Kind { return e.kind }

// Hint says what to do about it.
func (e *ServerError) Hint() string { return e.hint }

// passing tells whether the same request may succeed later.
func (e *ServerError) passing() bool {
	switch e.Status {
	case 408, 429, 500, 502, 503, 504:
		return true
	}
	return false
}

// refusal maps an answer of status 400 or more.
func (r *rest) refusal(resp *http.Response, data []byte) error {
	e := &ServerError{Status: resp.StatusCode, Server: r.display, retryAfter: retryAfter(resp.Header.Get("Retry-After"), r.now())}
	var body wire.Error
	if json.Unmarshal(data, &body) == nil {
		e.Code, e.Message = body.Code, body.Message
	}
	text := string(data)
	switch {
	case resp.StatusCode == 403 && strings.Contains(text, "Invalid Host header"):
		e.kind, e.Message = errs.Unreachable, "it does not accept the host name "+r.base.Host
		e.hint = "start it with: mlflow server --allowed-hosts " + r.base.Host
	case resp.StatusCode == 401 || resp.StatusCode == 403:
		e.kind = errs.Auth
		if e.Message == "" {
			e.Message = "credentials are missing or wrong"
		}
		e.hint = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
	case e.passing() || e.Status >= 500: // 507: its disk is full
		e.kind = errs.Unreachable
	case isHTML(resp, data):
		return notMLflow(r.display, resp.StatusCode)
	case e.Code == wire.ResourceDoesNotExist || resp.StatusCode == 404:
		e.kind = errs.NotFound
	}
	if e.Message == "" && !isHTML(resp, data) {
		e.Message = wire.Cut(strings.TrimSpace(text), 300)
	}
	return e
}

func notMLflow(display string, status int) error {
	return errs.Hint(&webPageError{display, status}, "check MLFLOW_TRACKING_URI, also its path")
}

// webPageError is an answer that is a web page: the address is not that of a
// server, or the server is too old to know the call.
type webPageError struct {
	server string // URI without secrets
	status int
}

func (e *webPageError) Error() string {
	return fmt.Sprintf("%s answers with a web page (status %d): is it an MLflow server?", e.server, e.status)
}

// Kind is that of a server that cannot be reached.
func (e *webPageError) Kind() errs.Kind { return errs.Unreachable }

func isHTML(resp *http.Response, data []byte) bool {
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		return true
	}
	return bytes.HasPrefix(bytes.TrimSpace(data), []byte("<"))
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && n >= 0 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}

// networkError marks a failure without an answer.
type networkError struct{ err error }

func (e *networkError) Error() string   { return e.err.Error() }
func (e *networkError) Unwrap() error   { return e.err }
func (e *networkError) Kind() errs.Kind { return errs.Unreachable }
func (e *networkError) Hint() string {
	return "is the server up? check MLFLOW_TRACKING_URI and the network"
}

type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("no answer within %v", e.after) }

// unreachable turns a failure of the HTTP client into one that names the
// server and nothing else of the URL.
func (r *rest) unreachable(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	var timeout *timeoutError
	switch {
	case errors.As(cause, &timeout):
		err = timeout
	case cause != nil:
		return cause
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var kind interface{ Kind() errs.Kind }
	if errors.As(err, &kind) { // our own refusal of a redirect, or the embedded store
		return err
	}
	return &networkError{fmt.Errorf("tracking server %s is unreachable: %w", r.display, err)}
}

func isNetwork(err error) bool {
	var n *networkError
	return errors.As(err, &n)
}

func isDial(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}
