package fsx

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

// Mount tells on what file system a path is: its type and what is mounted, such
// as "ext4" and "/dev/sda1". They are "" where that cannot be found out.
func Mount(path string) (kind, source string) {
	for {
		if _, err := os.Lstat(path); err == nil || path == filepath.Dir(path) {
			break
		}
		path = filepath.Dir(path)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", ""
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", ""
	}
	defer f.Close()
	best := -1
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// 36 35 98:0 /root /at rw,noatime master:1 - ext3 /dev/root rw: proc(5)
		before, after, ok := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 2 {
			continue
		}
		at := unescapeMount.Replace(left[4])
		if (real == at || at == "/" || strings.HasPrefix(real, at+"/")) && len(at) >= best { // a later mount hides an earlier one
			best, kind, source = len(at), right[0], unescapeMount.Replace(right[1])
		}
	}
	return kind, source
}

var unescapeMount = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
