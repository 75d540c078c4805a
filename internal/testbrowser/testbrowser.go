// Package testbrowser opens a page in a real headless browser for a test, and
// keeps what the page asked for over the network and what went wrong in it.
//
// A test that needs it is skipped where there is no browser, and fails there
// when CTRX_TEST_REQUIRE lists "browser" (see [ctrx/internal/testreq]).
package testbrowser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"ctrx/internal/testreq"
)

// Tab is the one tab of a headless Chromium. The browser is spoken to over two
// pipes in the DevTools protocol: messages of JSON that end with a zero byte.
type Tab struct {
	in      io.Writer
	out     *bufio.Reader
	last    int
	session string

	// What happened since the last Open.
	Requests []string // addresses asked for, data: ones left out
	Problems []string // errors on the console, uncaught ones, what the policy forbade

	user, password string // see Login
	// Prompts counts how often a server asked who the user is.
	Prompts int
}

type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    any             `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     json.RawMessage `json:"error,omitempty"`
}

// Start starts a browser, which ends with the test.
func Start(t testing.TB) *Tab {
	t.Helper()
	testreq.Need(t, testreq.Browser)
	if runtime.GOOS == "windows" {
		t.Skip("a browser on Windows inherits no pipes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	toBrowser, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, fromBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: the browser's helpers may outlive it for a moment, and then
	// a folder that cannot be removed would fail the test.
	profile, err := os.MkdirTemp("", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	// No sandbox: a build machine's root user cannot have it, and the pages are
	// the test's own.
	cmd := exec.CommandContext(ctx, testreq.Program(testreq.Browser),
		"--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-extensions", "--disable-background-networking",
		"--user-data-dir="+profile, "about:blank")
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser}
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toBrowser.Close()
	fromBrowser.Close()
	c := &Tab{in: in, out: bufio.NewReader(out)}
	t.Cleanup(func() {
		c.session = ""
		_, _ = c.say("Browser.close", nil)
		in.Close()
		// Waiting to the end leaves nothing that still writes into the profile.
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		cancel()
		out.Close()
		for range 20 {
			if os.RemoveAll(profile) == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
	})

	if err := c.attach(); err != nil {
		t.Fatal(err)
	}
	return c
}

// attach makes the tab, and has the browser tell what happens in it.
func (c *Tab) attach() error {
	var target struct{ TargetID string }
	if err := c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return err
	}
	var attached struct{ SessionID string }
	if err := c.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return err
	}
	c.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Network", "Log"} {
		if err := c.call(domain+".enable", nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// say sends a message and gives its number, which the answer will have.
func (c *Tab) say(method string, params any) (int, error) {
	c.last++
	b, err := json.Marshal(message{ID: c.last, SessionID: c.session, Method: method, Params: params})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", method, err)
	}
	if _, err := c.in.Write(append(b, 0)); err != nil {
		return 0, fmt.Errorf("%s: the browser is gone: %w", method, err)
	}
	return c.last, nil
}

// call waits for the answer and takes note of what is told meanwhile.
func (c *Tab) call(method string, params, result any) error {
	id, err := c.say(method, params)
	if err != nil {
		return err
	}
	for {
		raw, err := c.out.ReadBytes(0)
		if err != nil {
			return fmt.Errorf("%s: the browser is gone: %w", method, err)
		}
		var m struct {
			message
			Params json.RawMessage `json:"params"`
		}
		if err := json.Unmarshal(raw[:len(raw)-1], &m); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case m.ID != id:
			c.note(m.Method, m.Params)
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error)
		case result != nil:
			return json.Unmarshal(m.Result, result)
		default:
			return nil
		}
	}
}

func (c *Tab) note(method string, params json.RawMessage) {
	switch method {
	case "Network.requestWillBeSent":
		var p struct{ Request struct{ URL string } }
		_ = json.Unmarshal(params, &p)
		if !strings.HasPrefix(p.Request.URL, "data:") {
			c.Requests = append(c.Requests, p.Request.URL)
		}
	case "Fetch.requestPaused", "Fetch.authRequired":
		c.answerPrompt(method, params)
	case "Runtime.exceptionThrown":
		c.Problems = append(c.Problems, string(params))
	case "Log.entryAdded":
		var p struct {
			Entry struct{ Level, Text, URL string }
		}
		_ = json.Unmarshal(params, &p)
		if p.Entry.Level == "error" || p.Entry.Level == "warning" {
			c.Problems = append(c.Problems, p.Entry.Text+" "+p.Entry.URL)
		}
	case "Runtime.consoleAPICalled":
		var p struct{ Type string }
		_ = json.Unmarshal(params, &p)
		if p.Type == "error" || p.Type == "assert" {
			c.Problems = append(c.Problems, string(params))
		}
	}
}

// Login makes the tab answer a server that asks for a user and a password, as a
// user does in the browser's dialog.
func (c *Tab) Login(t testing.TB, user, password string) {
	t.Helper()
	c.user, c.password = user, password
	if err := c.call("Fetch.enable", map[string]any{"handleAuthRequests": true}, nil); err != nil {
		t.Fatal(err)
	}
}

// answerPrompt lets a request go on, with the password where it was asked for.
func (c *Tab) answerPrompt(method string, params json.RawMessage) {
	var p struct{ RequestID string }
	_ = json.Unmarshal(params, &p)
	if method == "Fetch.requestPaused" {
		_, _ = c.say("Fetch.continueRequest", map[string]any{"requestId": p.RequestID})
		return
	}
	c.Prompts++
	answer := map[string]any{"response": "ProvideCredentials", "username": c.user, "password": c.password}
	if c.Prompts > 20 { // it is the wrong one
		answer = map[string]any{"response": "CancelAuth"}
	}
	_, _ = c.say("Fetch.continueWithAuth", map[string]any{"requestId": p.RequestID, "authChallengeResponse": answer})
}

// Eval gives the value of a JavaScript expression in the page; a promise is
// waited for.
func (c *Tab) Eval(expression string, value any) error {
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	if err := c.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r); err != nil {
		return err
	}
	if r.ExceptionDetails != nil {
		return fmt.Errorf("%s: %s", expression, r.ExceptionDetails)
	}
	if len(r.Result.Value) == 0 {
		return errors.New("no value: " + expression)
	}
	return json.Unmarshal(r.Result.Value, value)
}

// Open loads a file and waits until the condition, a JavaScript expression,
// holds.
func (c *Tab) Open(t testing.TB, file, until string) {
	t.Helper()
	c.Visit(t, (&url.URL{Scheme: "file", Path: file}).String(), until)
}

// Visit loads an address and waits until the condition holds.
func (c *Tab) Visit(t testing.TB, address, until string) {
	t.Helper()
	c.Requests, c.Problems = nil, nil
	if err := c.call("Page.navigate", map[string]any{"url": address}, nil); err != nil {
		t.Fatal(err)
	}
	c.Wait(t, until)
}

// Wait waits until a JavaScript expression is true.
func (c *Tab) Wait(t testing.TB, until string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var done bool
		if err := c.Eval("Boolean("+until+")", &done); err == nil && done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not %s after two minutes; problems: %.1000q", until, c.Problems)
		}
	}
}

// Look gives the tab a width in pixels, and its user a liking for light or dark
// pages.
func (c *Tab) Look(t testing.TB, width int, dark bool) {
	t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	media := map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}
	if err := c.call("Emulation.setEmulatedMedia", media, nil); err != nil {
		t.Fatal(err)
	}
	metrics := map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
	if err := c.call("Emulation.setDeviceMetricsOverride", metrics, nil); err != nil {
		t.Fatal(err)
	}
}

// Top is the upper part of the page as PNG, so many pixels high.
func (c *Tab) Top(t testing.TB, width, height int) []byte {
	t.Helper()
	var shot struct{ Data []byte }
	clip := map[string]any{"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
	if err := c.call("Page.captureScreenshot", map[string]any{"clip": clip, "captureBeyondViewport": true}, &shot); err != nil {
		t.Fatal(err)
	}
	return shot.Data
}

// Screenshot is the whole page as PNG.
func (c *Tab) Screenshot(t testing.TB) []byte {
	t.Helper()
	var shot struct{ Data []byte }
	if err := c.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &shot); err != nil {
		t.Fatal(err)
	}
	return shot.Data
}
