package settings

import (
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ctrx/internal/errs"
)

// RemoteKeys reads the values of one remote section of DVC's config. It keeps
// the first error, so that a reader asks for all keys and looks at Err once.
type RemoteKeys struct {
	name   string
	values map[string]string
	dir    string
	env    func(string) string
	err    error
}

// NewRemoteKeys reads the section of the remote name, or, where that is "", the
// options of a single address. Relative paths in values
// are relative to dir; env gives the home folder: see HomeDir.
func NewRemoteKeys(name string, values map[string]string, dir string, env func(string) string) *RemoteKeys {
	return &RemoteKeys{name: name, values: values, dir: dir, env: env}
}

// Fail says what is wrong with the value of a key. The value itself belongs
// into the text only where it is no secret.
func (k *RemoteKeys) Fail(key, format string, args ...any) {
	switch {
	case k.err != nil:
	case k.name != "":
		err := errs.New(errs.ProjectFile, "remote %q: %s: "+format, append([]any{k.name, key}, args...)...)
		k.err = errs.Hint(err, "ctrx remote modify %s %s VALUE", k.name, key)
	case key == "url":
		k.err = errs.New(errs.ProjectFile, "the address: "+format, args...)
	default:
		err := errs.New(errs.ProjectFile, "%s: "+format, append([]any{key}, args...)...)
		k.err = errs.Hint(err, "--fs-config %s=VALUE", key)
	}
}

// Err is what Fail was told first, of kind ProjectFile; nil without any.
func (k *RemoteKeys) Err() error { return k.err }

// Bool reads true or false.
func (k *RemoteKeys) Bool(key string, otherwise bool) bool {
	switch v := strings.ToLower(k.values[key]); v {
	case "":
		return otherwise
	case "true":
		return true
	case "false":
		return false
	default:
		k.Fail(key, "%q is neither true nor false", v)
		return otherwise
	}
}

// Int reads a whole number.
func (k *RemoteKeys) Int(key string, otherwise, least, most int) int {
	v := k.values[key]
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(strings.TrimSpace(v))
	if err != nil || n < least || n > most {
		k.Fail(key, "%q is not a number from %d to %d", v, least, most)
		return otherwise
	}
	return n
}

// longest is more seconds than any timeout is meant to have.
const longest = 1 << 30

// Seconds reads a whole number of seconds.
func (k *RemoteKeys) Seconds(key string, otherwise time.Duration) time.Duration {
	return time.Duration(k.Int(key, int(otherwise/time.Second), 1, longest)) * time.Second
}

// FractionOfSeconds reads a number of seconds that need not be whole.
func (k *RemoteKeys) FractionOfSeconds(key string, otherwise time.Duration) time.Duration {
	v := k.values[key]
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
	if err != nil || !(n > 0) || n > longest {
		k.Fail(key, "%q is not a number of seconds", v)
		return otherwise
	}
	return time.Duration(n * float64(time.Second))
}

// Path reads a path of this machine: "~" is the home folder.
func (k *RemoteKeys) Path(key string) string {
	if k.values[key] == "" {
		return ""
	}
	return Below(k.values[key], k.dir, k.env)
}

// Below resolves a path that may begin with "~" or be relative to dir.
func Below(file, dir string, env func(string) string) string {
	if rest, ok := strings.CutPrefix(file, "~"); ok && (rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		if home := HomeDir(env); home != "" {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(dir, file)
}

// Versions refuses the settings of a store that keeps versions, with a reason.
func (k *RemoteKeys) Versions(why string) {
	for _, key := range []string{"version_aware", "worktree"} {
		if k.Bool(key, false) {
			k.Fail(key, "%s", why)
		}
	}
}
