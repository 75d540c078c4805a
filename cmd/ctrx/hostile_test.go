package main

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// hostileOutputs are places that no repository may name for its data.
func hostileOutputs() []string {
	return []string{"../victim", "../../victim", "sub/../../victim", "/etc/hostname", ".git/hooks/post-checkout", "sub/.git/config", ".GIT/x", "git~1/x",
		".dvc/config.local", "sub/.dvc/config", ".dvc./x", "new\nline", "esc\x1b[2J", "del\x7f",
		"s3://bucket/x", "remote://store/x", "file:///etc/hostname", "https://example.com/x"}
}

// hostileMembers are paths that no file of a folder may have.
func hostileMembers() []string {
	return []string{"../victim", "../../victim", "a/../../../victim", "/etc/hostname", ".git/config", "sub/.git/hooks/x", ".Git/x", ".dvc/config", "sub/.dvc/x",
		"new\nline", "esc\x1b[2J", "", ".", "..", "a//b", "nul\x00"}
}

// surroundings gives all files at and below dir but those of the cache, the
// remote and what is temporary, with their content.
func surroundings(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		switch rel = filepath.ToSlash(rel); {
		case d.IsDir() && (strings.HasSuffix(rel, ".dvc/cache") || strings.HasSuffix(rel, ".dvc/tmp") || rel == "store" || strings.HasSuffix(rel, ".git/objects")):
			return fs.SkipDir
		case d.Type().IsRegular():
			data, err := os.ReadFile(name)
			found[rel] = string(data)
			return err
		default:
			found[rel] = d.Type().String()
			return nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func wantSame(t *testing.T, what string, before, after map[string]string) {
	t.Helper()
	for name, text := range after {
		if was, ok := before[name]; !ok {
			t.Errorf("%s: wrote %s", what, name)
		} else if was != text {
			t.Errorf("%s: changed %s", what, name)
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			t.Errorf("%s: removed %s", what, name)
		}
	}
}

func sumOf(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

// object writes an object below a cache or remote and gives its hash.
func object(t *testing.T, root, text, suffix string) string {
	t.Helper()
	sum := sumOf(text)
	writeFiles(t, root, map[string]string{"files/md5/" + sum[:2] + "/" + sum[2:] + suffix: text})
	return sum + suffix
}

// hostileProject makes a Git repository and project below a new folder, with a
// folder remote beside it.
func hostileProject(t *testing.T) (around, project string) {
	t.Helper()
	around = t.TempDir()
	project = filepath.Join(around, "outer", "project")
	writeFiles(t, around, map[string]string{"victim": "precious", "outer/victim": "precious", "outer/project/a_good.dvc": "outs:\n- md5: " + sumOf("good") + "\n  size: 4\n  hash: md5\n  path: good\n",
		"outer/project/.dvc/config": "[core]\n    remote = store\n    analytics = false\n['remote \"store\"']\n    url = " + filepath.ToSlash(filepath.Join(around, "store")) + "\n",
		// what a hostile output might have taken away with it
		"outer/project/.dvc/config.local": "['remote \"store\"']\n    verify = true\n", "outer/project/sub/.dvc/config": ""})
	git(t, project, "init", "-q")
	for _, root := range []string{filepath.Join(project, ".dvc", "cache"), filepath.Join(around, "store")} {
		object(t, root, "good", "")
	}
	return around, project
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// TestHostileOutputs has a repository that names places for its data where no
// data may go: whatever would write there, or take data from there, refuses it
// by name before it does anything else.
func TestHostileOutputs(t *testing.T) {
	for _, place := range hostileOutputs() {
		t.Run(strconv.Quote(place), func(t *testing.T) {
			t.Parallel()
			around, project := hostileProject(t)
			sum := sumOf("good")
			out := fmt.Sprintf("outs:\n- md5: %s\n  size: 4\n  hash: md5\n  path: %s\n", sum, strconv.Quote(place))
			writeFiles(t, project, map[string]string{"bad.dvc": out})
			for _, args := range [][]string{{"checkout"}, {"checkout", "bad.dvc"}, {"pull"}, {"fetch"}, {"push"}, {"commit", "-f", "bad.dvc"}, {"commit", "-f"}, {"remove", "--outs", "bad.dvc"}} {
				before := surroundings(t, around)
				got := runCtrx(t, project, args)
				if got.Code != 4 || !strings.Contains(got.Output, fmt.Sprintf("%q", place)) && !strings.Contains(got.Output, "'"+place+"'") {
					t.Errorf("%v ends with %d:\n%s", args, got.Code, got.Output)
				}
				wantSame(t, strings.Join(args, " "), before, surroundings(t, around))
			}
		})
	}
}

// TestHostileFolders has a folder with files that lie elsewhere: in the cache, on
// a remote, and in another repository.
func TestHostileFolders(t *testing.T) {
	for _, member := range hostileMembers() {
		t.Run(strconv.Quote(member), func(t *testing.T) {
			t.Parallel()
			around, project := hostileProject(t)
			quoted, err := json.Marshal(member)
			if err != nil {
				t.Fatal(err)
			}
			list := fmt.Sprintf(`[{"md5": %q, "relpath": "a good one"}, {"md5": %q, "relpath": %s}]`, sumOf("good"), sumOf("good"), quoted)
			dir := object(t, filepath.Join(around, "store"), list, ".dir")
			writeFiles(t, project, map[string]string{"bad.dvc": "outs:\n- md5: " + dir + "\n  size: 8\n  nfiles: 2\n  hash: md5\n  path: folder\n"})
			git(t, project, "add", "-A", "--", "*.dvc", ".dvc/config")
			git(t, project, "commit", "-q", "-m", "bad")
			mine := filepath.Join(around, "outer", "mine")
			writeFiles(t, mine, map[string]string{".dvc/config": "[core]\n    no_scm = true\n    analytics = false\n"})
			check := func(in string, args ...string) {
				t.Helper()
				before := surroundings(t, around)
				got := runCtrx(t, in, args)
				if got.Code != 1 && got.Code != 4 && got.Code != 8 || !strings.Contains(got.Output, strings.Trim(strconv.Quote(filepath.Base(member)), `"`)) {
					t.Errorf("%v ends with %d:\n%s", args, got.Code, got.Output)
				}
				wantSame(t, strings.Join(args, " "), before, surroundings(t, around))
			}
			check(project, "fetch")
			check(project, "pull")
			check(mine, "import", project, "folder")
			check(mine, "get", project, "folder")
			object(t, filepath.Join(project, ".dvc", "cache"), list, ".dir")
			check(project, "checkout")
			check(project, "fetch")
		})
	}
}

// TestHostileExperiments has an experiment of somebody else, as `exp pull` brings
// one, whose stage files name places where no data may go. It may be looked at, and
// be made a branch; nothing of it gets into the work tree, and no work copy of it
// runs.
func TestHostileExperiments(t *testing.T) {
	for _, place := range hostileOutputs() {
		for kind, files := range map[string]map[string]string{
			"dvc file": {"bad.dvc": fmt.Sprintf("outs:\n- md5: %s\n  size: 4\n  hash: md5\n  path: %s\n", sumOf("good"), strconv.Quote(place))},
			"stage": {
				"dvc.yaml": fmt.Sprintf("stages:\n  evil:\n    cmd: touch ran\n    outs: [%s]\n", strconv.Quote(place)),
				"dvc.lock": fmt.Sprintf("schema: '2.0'\nstages:\n  evil:\n    cmd: touch ran\n    outs:\n    - path: %s\n      hash: md5\n      md5: %s\n      size: 4\n", strconv.Quote(place), sumOf("good")),
			},
		} {
			t.Run(kind+" "+strconv.Quote(place), func(t *testing.T) {
				t.Parallel()
				around, project := hostileProject(t)
				git(t, project, "add", "-A", "--", "a_good.dvc", ".dvc/config")
				git(t, project, "commit", "-q", "-m", "base")
				writeFiles(t, project, files)
				for name := range files {
					git(t, project, "add", "-f", name)
				}
				git(t, project, "commit", "-q", "-m", "evil")
				git(t, project, "branch", "evil-head")
				base := gitOutput(t, project, "rev-parse", "HEAD~1")
				git(t, project, "update-ref", "refs/exps/"+base[:2]+"/"+base[2:]+"/evil", "HEAD")
				git(t, project, "reset", "-q", "--hard", "HEAD~1")
				check := func(codes []int, args ...string) {
					t.Helper()
					before := surroundings(t, around)
					got := runCtrx(t, project, args)
					if !slices.Contains(codes, got.Code) {
						t.Errorf("%v ends with %d:\n%s", args, got.Code, got.Output)
					}
					if got.Code != 0 && !strings.Contains(got.Output, fmt.Sprintf("%q", place)) && !strings.Contains(got.Output, "'"+place+"'") {
						t.Errorf("%v does not name the place:\n%s", args, got.Output)
					}
					after := surroundings(t, around)
					for _, s := range []map[string]string{before, after} {
						maps.DeleteFunc(s, func(name, _ string) bool {
							return strings.HasPrefix(name, "outer/project/.git/") && !strings.Contains(name, "/hooks/")
						})
					}
					wantSame(t, strings.Join(args, " "), before, after)
				}
				check([]int{4}, "exp", "apply", "evil")
				check([]int{0}, "exp", "show", "--json")
				check([]int{0}, "exp", "branch", "evil", "looked-at")
				git(t, project, "checkout", "-q", "evil-head")
				check([]int{4}, "exp", "run", "--temp", "-n", "mine")
				check([]int{4}, "checkout")
			})
		}
	}
}

func gitOutput(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}
