package ui

import (
	"bytes"
	"compress/gzip"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// contentType goes by the ending of a name. Go's own table asks the system,
// and some systems take JavaScript for plain text, which a browser does not
// run.
func contentType(name string) string {
	kinds := map[string]string{
		".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".mjs": "text/javascript; charset=utf-8", ".cjs": "text/javascript; charset=utf-8",
		".json": "application/json", ".map": "application/json", ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg",
		".ico": "image/x-icon", ".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf", ".eot": "application/vnd.ms-fontobject",
		".txt": "text/plain; charset=utf-8", ".wasm": "application/wasm",
	}
	if kind, ok := kinds[strings.ToLower(path.Ext(name))]; ok {
		return kind
	}
	return "application/octet-stream"
}

// Values of Cache-Control: for files whose address changes with the content,
// and for all others, which are asked for again.
const (
	forever = "private, max-age=31536000, immutable"
	asking  = "no-cache"
)

// packed keeps compressed files, so that each is compressed once.
type packed struct {
	mu    sync.Mutex
	files map[string][]byte
}

// sendFile answers with the content of a file. It is compressed for a browser
// on another machine; on this one that would cost more than it saves.
func (p *packed) sendFile(w http.ResponseWriter, r *http.Request, name string, changed time.Time, data []byte) {
	kind := contentType(name)
	w.Header().Set("Content-Type", kind)
	w.Header().Add("Vary", "Accept-Encoding")
	if len(data) > 1024 && packs(kind) && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && !sameMachine(r) {
		if small, err := p.pack(name+changed.String(), data); err == nil {
			w.Header().Set("Content-Encoding", "gzip")
			data = small
		}
	}
	http.ServeContent(w, r, "", changed, bytes.NewReader(data))
}

func (p *packed) pack(key string, data []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if small, ok := p.files[key]; ok {
		return small, nil
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	if p.files == nil {
		p.files = map[string][]byte{}
	}
	p.files[key] = b.Bytes()
	return b.Bytes(), nil
}

func packs(kind string) bool {
	return strings.HasPrefix(kind, "text/") || kind == "application/json" || kind == "image/svg+xml"
}

func sameMachine(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
