package testserver

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"
)

// WebFolder is a web server's folder: GET and HEAD with ETags and ranges, PUT
// and POST store. With a User it wants a basic login.
type WebFolder struct {
	Dir            string
	User, Password string
}

// ServeHTTP implements http.Handler.
func (f *WebFolder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if user, password, _ := r.BasicAuth(); f.User != "" && (user != f.User || password != f.Password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	root, err := os.OpenRoot(f.Dir)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer root.Close()
	name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
	switch r.Method {
	case http.MethodPut, http.MethodPost:
		data, err := io.ReadAll(r.Body)
		if err == nil {
			err = store(root, name, data)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	case http.MethodGet, http.MethodHead:
		data, err := fs.ReadFile(root.FS(), name)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(data)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func store(root *os.Root, name string, data []byte) error {
	if err := root.MkdirAll(path.Dir(name), 0o777); err != nil {
		return err
	}
	return root.WriteFile(name, data, 0o666)
}
