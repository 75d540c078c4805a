package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Page is what a server tells of the content at an address.
type Page struct {
	Size     int64  // bytes; -1: it does not tell
	Checksum string // its ETag header, else Content-MD5, as sent; "" where there is neither

	// The rest is what DVC hashes where there is no checksum.
	Address      string // that answered after all redirects, as DVC's HTTP library (yarl) writes it
	MediaType    string // Content-Type without parameters
	NoRanges     bool   // Accept-Ranges: none
	Digest       string // header
	LastModified string // header, as sent
}

// Describe asks what is at an address. As in DVC, a server that answers HEAD with
// an error or without a size is asked for the content, of which nothing is read.
func (c *Client) Describe(ctx context.Context, u *url.URL) (Page, error) {
	resp, err := c.ask(ctx, http.MethodHead, u)
	if err != nil {
		return Page{}, err
	}
	page := pageOf(resp)
	if c.status(u, resp) == nil && page.Size >= 0 {
		return page, nil
	}
	if resp, err = c.ask(ctx, http.MethodGet, u); err != nil {
		return Page{}, err
	}
	return pageOf(resp), c.status(u, resp)
}

func pageOf(resp *http.Response) Page {
	h := headOf(resp)
	p := Page{Size: h.Size, Checksum: h.Checksum, Address: yarlText(resp.Request.URL), NoRanges: resp.Header.Get("Accept-Ranges") == "none",
		Digest: resp.Header.Get("Digest"), LastModified: resp.Header.Get("Last-Modified")}
	p.MediaType, _, _ = strings.Cut(resp.Header.Get("Content-Type"), ";")
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		p.Size = -1 // of the compressed content
	}
	return p
}

// yarlText writes an address as yarl does: without login, usual port and fragment,
// and of the path only those characters escaped that must be.
func yarlText(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port, ok := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]; ok {
		host = strings.TrimSuffix(host, port)
	}
	text := u.Scheme + "://" + host + yarlPath(u.EscapedPath())
	if u.Path == "" {
		text += "/"
	}
	if u.RawQuery != "" {
		text += "?" + u.RawQuery
	}
	return text
}

func yarlPath(escaped string) string {
	const plain = "-._~!$'()*,+&=;@:/"
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		ch, was := escaped[i], false
		if ch == '%' && i+2 < len(escaped) {
			if n, err := strconv.ParseUint(escaped[i+1:i+3], 16, 8); err == nil {
				ch, was = byte(n), true
				i += 2
			}
		}
		letter := 'a' <= ch|0x20 && ch|0x20 <= 'z' || '0' <= ch && ch <= '9'
		if (letter || strings.IndexByte(plain, ch) >= 0) && !(was && (ch == '/' || ch == '+')) {
			b.WriteByte(ch)
		} else {
			fmt.Fprintf(&b, "%%%02X", ch)
		}
	}
	return b.String()
}
