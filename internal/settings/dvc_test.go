package settings

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ctrx/internal/errs"
	"ctrx/internal/testreq"
)

// newRepo makes a folder with .dvc and an environment of its own.
func newRepo(t *testing.T, config, local string) (root string, env func(string) string) {
	t.Helper()
	home := t.TempDir()
	root = filepath.Join(home, "repo")
	write(t, filepath.Join(root, ".dvc", "config"), config)
	if local != "" {
		write(t, filepath.Join(root, ".dvc", "config.local"), local)
	}
	vars := map[string]string{"HOME": home, "USERPROFILE": home, "DVC_SYSTEM_CONFIG_DIR": filepath.Join(home, "system"), "DVC_GLOBAL_CONFIG_DIR": filepath.Join(home, "global")}
	return root, func(name string) string { return vars[name] }
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

func TestLevelsAreMerged(t *testing.T) {
	root, env := newRepo(t,
		"[core]\n    remote = S3\n    autostage = True\n[cache]\n    type = hardlink, symlink\n    dir = ../shared\n['remote \"s3\"']\n    url = s3://b/p\n    region = r1\n[remote \"Folder\"]\n    url = sub/dir\n",
		"['remote \"s3\"']\n    access_key_id = AK\n    region = r2\n[remote]\n    [[s3]]\n        access_key_id = AK\n        region = r2\n    [[more]]\n        url = remote://s3/deeper/\n        jobs = 4\n")
	home := env("HOME")
	write(t, filepath.Join(home, "global", "config"), "[core]\nremote = other\nanalytics = false\n[plots]\nout_dir = x\n")
	write(t, filepath.Join(home, "system", "config"), "[core]\nanalytics = true\ncheck_update = false\n")
	d, err := LoadDVC(root, env)
	if err != nil {
		t.Fatal(err)
	}
	if name, ok := d.DefaultRemote(); name != "s3" || !ok {
		t.Errorf("default remote %q, %v", name, ok)
	}
	if d.Bool("core", "analytics", true) || d.Bool("core", "check_update", true) || !d.Bool("core", "autostage", false) || !d.Bool("core", "nothing", true) {
		t.Error("booleans")
	}
	if got := d.List("cache", "type"); strings.Join(got, "|") != "hardlink|symlink" {
		t.Errorf("cache.type %q", got)
	}
	if dir, _ := d.Get("cache", "dir"); dir != filepath.Join(root, "shared") {
		t.Errorf("cache.dir %q", dir)
	}
	if got := strings.Join(d.Remotes(), " "); got != "s3 folder more" {
		t.Errorf("remotes %q", got)
	}
	folder, err := d.Remote("FOLDER")
	if err != nil || folder["url"] != filepath.Join(root, ".dvc", "sub", "dir") {
		t.Errorf("folder %v, %v", folder, err)
	}
	more, err := d.Remote("more")
	if err != nil || more["url"] != "s3://b/p/deeper/" || more["access_key_id"] != "AK" || more["region"] != "r2" || more["jobs"] != "4" {
		t.Errorf("more %v, %v", more, err)
	}
	o, ok := d.Find(Merged, Name{"remote", "s3", "region"})
	if !ok || o.Level != Local || o.Pos.Line != 7 || !strings.HasSuffix(o.Pos.File, "config.local") {
		t.Errorf("region %+v", o)
	}
	if o, ok := d.Find(Repo, Name{"remote", "s3", "region"}); !ok || o.Value != "r1" {
		t.Errorf("region of the project %+v", o)
	}
	_, err = d.Remote("s4")
	if errs.KindOf(err) != errs.NotFound || !strings.Contains(errs.HintOf(err), "did you mean s3") {
		t.Errorf("unknown remote: %v, hint %q", err, errs.HintOf(err))
	}
	var lines []string
	for _, o := range d.Lines(Repo) {
		lines = append(lines, o.Name.String()+"="+o.Text())
	}
	want := "remote.s3.url=s3://b/p remote.s3.region=r1 remote.folder.url=" + filepath.Join(root, ".dvc/sub/dir") +
		" core.remote=S3 core.autostage=True cache.type=['hardlink', 'symlink'] cache.dir=" + filepath.Join(root, "shared")
	if got := strings.Join(lines, " "); got != want {
		t.Errorf("lines\n%s\nwant\n%s", got, want)
	}
}

func TestValidation(t *testing.T) {
	tests := []struct{ config, want, hint string }{
		{"[core]\nremot = x\n", "config:2: unknown option remot in section core", "did you mean remote?"},
		{"[tracking]\nuri = x\n", "config:1: unknown section [tracking]", "the sections are"},
		{"[cor]\nremote = x\n", "config:1: unknown section [cor]", "[core]"},
		{"[core]\nautostage = yes\n", "config:2: autostage of section core must be true or false", ""},
		{"[core]\nchecksum_jobs = 0\n", "checksum_jobs of section core must be a whole number from 1 on", ""},
		{"[cache]\ntype = hardlink,symlnk\n", `type of section cache must be made of`, ""},
		{"[cache]\nshared = all\n", `shared of section cache must be group`, ""},
		{"[cache]\ndir = a, b\n", "dir is a list", ""},
		{"['remote \"x\"']\njobs = 4\n", "config:1: remote x has no url", "ctrx remote add -f x"},
		{"['remote \"x\"']\nurl = s4://b\n", "config:2: remote x: no storage is known for s4://", ""},
		{"['remote \"x\"']\nurl = /d\nregion = r\n", "config:3: unknown option region in remote x", ""},
		{"['remote \"x\"']\nurl = s3://b\nendpoint_url = r\n", "unknown option endpoint_url in remote x", "endpointurl"},
		{"['remote \"x\"']\nurl = s3://b\ncache_regions = true\n", "DVC refuses", ""},
		{"[hydra]\nconfig_dir = a\nconfig_module = b\n", "only one may be set", ""},
		{"a = 1\n", "config:1: a stands outside", ""},
		{"[remote]\nurl = x\n", "config:2: url: write ['remote \"name\"']", ""},
	}
	for _, tt := range tests {
		root, env := newRepo(t, tt.config, "")
		_, err := LoadDVC(root, env)
		if err == nil || !strings.Contains(err.Error(), tt.want) || errs.KindOf(err) != errs.ProjectFile || !strings.Contains(errs.HintOf(err), tt.hint) {
			t.Errorf("%q: got %v (hint %q), want %s (%s)", tt.config, err, errs.HintOf(err), tt.want, tt.hint)
		}
	}
	root, env := newRepo(t, "[feature]\nanything = 1\nmachine = true\n[core]\nexperiments = true\n['remote \"x\"']\nurl = s3://b\nssl_verify = /ca.pem\n[parsing]\nbool = Store_True\n", "")
	if _, err := LoadDVC(root, env); err != nil {
		t.Error(err)
	}
}

func TestConfigOfACommit(t *testing.T) {
	root, env := newRepo(t, "[core]\nremote = now\n", "[cache]\ntype = copy\n")
	d, err := ReadDVC(Options{Root: root, Env: env, RepoConfig: func() ([]byte, error) { return []byte("[core]\nremote = then\n"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	name, _ := d.DefaultRemote()
	if link, _ := d.Get("cache", "type"); name != "then" || link != "copy" {
		t.Errorf("remote %q, type %q", name, link)
	}
}

func TestRefusedEditChangesNothing(t *testing.T) {
	before := "# mine\n[core]\nautostage = true\n"
	root, env := newRepo(t, before, "")
	d, err := LoadDVC(root, env)
	if err != nil {
		t.Fatal(err)
	}
	edits := map[string]struct {
		err  error
		kind errs.Kind
	}{
		"unknown option":   {d.Set(Repo, Name{"", "core", "nope"}, "x", root), errs.ProjectFile},
		"bad value":        {d.Set(Repo, Name{"", "core", "autostage"}, "yes", root), errs.ProjectFile},
		"unset absent":     {d.Unset(Repo, Name{"", "core", "remote"}), errs.NotFound},
		"no such remote":   {d.RemoteModify(Repo, "x", "jobs", "1", root), errs.NotFound},
		"remove absent":    {d.RemoteRemove(Repo, "x"), errs.NotFound},
		"rename absent":    {d.RemoteRename(Repo, "x", "y"), errs.NotFound},
		"default absent":   {d.SetDefaultRemote(Repo, "x"), errs.NotFound},
		"unwritable name":  {d.RemoteAdd(Repo, `it's`, "/x", root, false, false), errs.Usage},
		"unset of a level": {d.Unset(Local, Name{"", "core", "autostage"}), errs.NotFound},
	}
	for name, e := range edits {
		if e.err == nil || errs.KindOf(e.err) != e.kind {
			t.Errorf("%s: %v, kind %v", name, e.err, errs.KindOf(e.err))
		}
	}
	if got := read(t, filepath.Join(root, ".dvc/config")); got != before {
		t.Errorf("config became %q", got)
	}
	if _, err := os.Stat(filepath.Join(root, ".dvc/config.local")); err == nil {
		t.Error("config.local was made")
	}
}

func TestLocalRestOfARemovedRemoteCanBeRemoved(t *testing.T) {
	root, env := newRepo(t, "['remote \"s3\"']\nurl = s3://b\n", "['remote \"s3\"']\naccess_key_id = AK\n")
	d, err := LoadDVC(root, env)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.RemoteRemove(Repo, "s3"); err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(); err == nil || !strings.Contains(errs.HintOf(err), "ctrx remote remove --local s3") {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
	if err := d.RemoteRemove(Local, "s3"); err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
}

func TestParseName(t *testing.T) {
	for in, want := range map[string]Name{"Core.Remote": {"", "core", "remote"}, "remote.S3.url": {"remote", "s3", "url"}, "db.x.url": {"db", "x", "url"}, "remote.url": {"", "remote", "url"}} {
		if got, err := ParseName(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"core", "a.b.c", "remote.a.b.c"} {
		if _, err := ParseName(in); errs.KindOf(err) != errs.Usage {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// scripts are command lines of dvc; lines that begin with ! fail.
var scripts = map[string]string{
	"remotes": `remote add s3 s3://b/p/
		remote modify s3 endpointurl https://hb.ru-msk.vkcs.cloud
		remote modify --local s3 access_key_id AKID
		remote add -d other /srv/other
		! remote add other /b
		config core.autostage true
		config cache.type hardlink,symlink
		remote rename other another
		remote modify another jobs 3
		remote add -f another /b
		remote remove another
		config --unset core.autostage`,
	"quoting": `config hydra.config_dir a#b
		config hydra.config_name it's
		config plots.out_dir "x"
		config exp.git_remote 'both"quotes
		config studio.url  blanks 
		config studio.token a,b
		config -u studio.url`,
	"paths": `remote add a rel/path
		remote add c ~/home
		config cache.dir ../cache/./dir
		remote add D ssh://h/p
		remote modify d keyfile k`,
	"levels": `remote add --global g /g
		remote default g
		! remote remove g
		config --system core.analytics false
		remote add l --local /l
		remote default --local l
		remote remove --local l`,
}

func TestAsDVCWrites(t *testing.T) {
	testreq.Need(t, testreq.DVC)
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs, theirEnv := newRepo(t, "", "")
			ours, ourEnv := newRepo(t, "", "")
			for _, root := range []string{theirs, ours} {
				write(t, filepath.Join(root, ".dvc", "tmp", "x"), "")
				write(t, filepath.Join(root, "work", "x"), "")
			}
			write(t, filepath.Join(theirs, ".dvc/config"), "[core]\n    no_scm = true\n")
			write(t, filepath.Join(ours, ".dvc/config"), "[core]\n    no_scm = true\n")
			for line := range strings.SplitSeq(script, "\n") {
				line, fails := strings.CutPrefix(strings.TrimLeft(line, "\t"), "! ")
				args := strings.Split(strings.ReplaceAll(line, "config studio.url  blanks ", "config|studio.url| blanks "), " ")
				if strings.Contains(line, "  blanks ") {
					args = []string{"config", "studio.url", " blanks "}
				}
				theirErr := runDVC(t, theirs, theirEnv, args)
				ourErr := runOurs(t, ours, ourEnv, args)
				if (theirErr != nil) != fails || (ourErr != nil) != fails {
					t.Errorf("%s: dvc %v, ours %v", line, theirErr, ourErr)
				}
				for _, file := range []string{"repo/.dvc/config", "repo/.dvc/config.local", "global/config", "system/config"} {
					want := read(t, filepath.Join(theirEnv("HOME"), file))
					want = strings.ReplaceAll(want, theirEnv("HOME"), ourEnv("HOME"))
					got := read(t, filepath.Join(ourEnv("HOME"), file))
					if got != want && !(got == "" && want == "\n") {
						t.Fatalf("%s: %s is %q, dvc has %q", line, file, got, want)
					}
				}
			}
			theirs, ours = dvcList(t, theirs, theirEnv), ourList(t, ours, ourEnv)
			theirs = strings.ReplaceAll(theirs, theirEnv("HOME"), ourEnv("HOME"))
			if theirs != ours {
				t.Errorf("config -l:\n%s\ndvc:\n%s", ours, theirs)
			}
		})
	}
}

func dvcCommand(t *testing.T, root string, env func(string) string, args []string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), "dvc", args...)
	cmd.Dir = filepath.Join(root, "work")
	cmd.Env = append(os.Environ(), "DVC_NO_ANALYTICS=1")
	for _, v := range []string{"HOME", "DVC_SYSTEM_CONFIG_DIR", "DVC_GLOBAL_CONFIG_DIR"} {
		cmd.Env = append(cmd.Env, v+"="+env(v))
	}
	return cmd
}

func runDVC(t *testing.T, root string, env func(string) string, args []string) error {
	out, err := dvcCommand(t, root, env, args).CombinedOutput()
	if err != nil && strings.Contains(string(out), "Traceback") {
		t.Fatalf("dvc %v: %s", args, out)
	}
	return err
}

func dvcList(t *testing.T, root string, env func(string) string) string {
	out, err := dvcCommand(t, root, env, []string{"config", "-l"}).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func ourList(t *testing.T, root string, env func(string) string) string {
	d, err := ReadDVC(Options{Root: root, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, o := range d.Lines(Merged) {
		b.WriteString(o.Name.String() + "=" + o.Text() + "\n")
	}
	return b.String()
}

// runOurs does what the command line of dvc says.
func runOurs(t *testing.T, root string, env func(string) string, args []string) error {
	d, err := ReadDVC(Options{Root: root, Env: env})
	if err != nil {
		return err
	}
	cwd := filepath.Join(root, "work")
	level := Repo
	flags := map[string]bool{}
	var words []string
	for _, a := range args {
		switch a {
		case "--local":
			level = Local
		case "--global":
			level = Global
		case "--system":
			level = System
		case "-d", "-f", "-u", "--unset":
			flags[strings.TrimPrefix(a, "--")[:2]] = true
			flags["-u"] = flags["-u"] || a == "--unset"
		default:
			words = append(words, a)
		}
	}
	if words[0] == "config" {
		n, err := ParseName(words[1])
		if err != nil {
			return err
		}
		if flags["-u"] {
			return d.Unset(level, n)
		}
		return d.Set(level, n, words[2], cwd)
	}
	switch words[1] {
	case "add":
		return d.RemoteAdd(level, words[2], words[3], cwd, flags["-d"], flags["-f"])
	case "modify":
		if flags["-u"] {
			return d.RemoteUnset(level, words[2], words[3])
		}
		return d.RemoteModify(level, words[2], words[3], words[4], cwd)
	case "default":
		if flags["-u"] {
			return d.UnsetDefaultRemote(level)
		}
		return d.SetDefaultRemote(level, words[2])
	case "rename":
		return d.RemoteRename(level, words[2], words[3])
	case "remove":
		return d.RemoteRemove(level, words[2])
	}
	t.Fatalf("unknown command %v", args)
	return nil
}
