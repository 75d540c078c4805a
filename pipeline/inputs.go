package pipeline

import (
	"net/url"
	"path"
	"slices"
	"strings"

	"ctrx/pipeline/dvcfile"
)

// Keeper is who keeps the content of a file, so that it can be had back.
type Keeper string

// The keepers.
const (
	KeptByGit Keeper = "git"
	KeptByDVC Keeper = "dvc"
	KeptByURL Keeper = "url"  // it is somewhere else, and was read there
	KeptByNo  Keeper = "none" // only its digest is known
)

// Recorded is data of the pipeline as dvc.lock and .dvc files record it.
type Recorded struct {
	Rel      string // rel path, or the URL of a dependency that is one
	Entry    dvcfile.Entry
	Kept     Keeper
	Made     *Stage   // that makes it; nil for data that comes from outside
	Readers  []*Stage // of the stages in question, those that depend on it
	Remote   string   // name of the remote that its objects belong to; "" where there is none
	Location string   // address of its object at the remote, without secrets; "" where that is not known
}

// Digest is the recorded hash; for a URL without one its etag or checksum.
func (r Recorded) Digest() string {
	if r.Entry.Digest != "" {
		return string(r.Entry.Digest)
	}
	for _, key := range []string{"etag", "checksum"} {
		if v, ok := r.Entry.Extra.Get(key); ok {
			if text, ok := v.(string); ok {
				return text
			}
		}
	}
	return ""
}

// RecordedInputs lists what stages of dvc.yaml files depend on, as it was
// recorded: data that comes from outside first, then what other stages make. A
// path that was recorded with several contents is listed once for each.
func (p *Project) RecordedInputs(ix *Index, stages []*Stage) []Recorded {
	var found []Recorded
	known := map[[2]string]int{} // path and digest -> place in found
	makers := makersOf(ix)
	for _, s := range stages {
		if s.IsData() {
			continue
		}
		for _, d := range s.Deps {
			if d.Recorded == nil {
				continue
			}
			in := Recorded{Rel: d.Rel, Entry: *d.Recorded}
			if in.Rel == "" {
				in.Rel, in.Kept, in.Location = redactURL(d.Path), KeptByURL, redactURL(d.Path)
			}
			if in.Digest() == "" {
				continue
			}
			key := [2]string{in.Rel, in.Digest()}
			i, there := known[key]
			if !there {
				if in.Kept == "" {
					p.describe(makers, &in)
				}
				i = len(found)
				found, known[key] = append(found, in), i
			}
			found[i].Readers = append(found[i].Readers, s)
		}
	}
	slices.SortStableFunc(found, func(a, b Recorded) int {
		if (a.Made == nil) != (b.Made == nil) {
			if a.Made == nil {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Rel, b.Rel)
	})
	return found
}

// makers are the outputs of an index, sorted by path.
type makers []selectedOutput

func makersOf(ix *Index) makers {
	m := makers(outputsOf(ix.Stages))
	slices.SortStableFunc(m, func(a, b selectedOutput) int { return strings.Compare(a.Output.Rel, b.Output.Rel) })
	return m
}

// from gives the outputs from the first on whose path is not before rel.
func (m makers) from(rel string) makers {
	i, _ := slices.BinarySearchFunc(m, rel, func(so selectedOutput, rel string) int { return strings.Compare(so.Output.Rel, rel) })
	return m[i:]
}

// above gives the output that a path is, or lies in; ok is false for none.
func (m makers) above(rel string) (found selectedOutput, ok bool) {
	for dir := rel; ; dir = path.Dir(dir) {
		if rest := m.from(dir); len(rest) > 0 && rest[0].Output.Rel == dir {
			return rest[0], true
		}
		if dir == "." || dir == "/" || dir == path.Dir(dir) {
			return found, false
		}
	}
}

// describe says who keeps a dependency and who makes it, or some of what is in
// it.
func (p *Project) describe(m makers, in *Recorded) {
	in.Kept = KeptByNo
	if so, ok := m.above(in.Rel); ok {
		if !so.Stage.IsData() {
			in.Made = so.Stage
		}
		if so.Output.Cache {
			in.Kept = KeptByDVC
			in.Remote, in.Location = p.location(so.Output, in.Entry)
		}
	} else if rest := m.from(in.Rel + "/"); len(rest) > 0 && inside(rest[0].Output.Rel, in.Rel) && !rest[0].Stage.IsData() {
		in.Made = rest[0].Stage
	}
	if in.Kept == KeptByNo && p.Git != nil && insideProject(in.Rel) && p.keptByGit(in.Rel, in.Entry.Digest.IsDir()) {
		in.Kept = KeptByGit
	}
}

// keptByGit tells whether Git tracks a file, or will with the next commit of an
// experiment: what it does not ignore.
func (p *Project) keptByGit(rel string, isDir bool) bool {
	return p.Git.Tracked(p.GitPath(rel)) || !p.GitIgnored(rel, isDir)
}

// RecordedOutputs lists the outputs of stages that have something recorded.
func (p *Project) RecordedOutputs(stages []*Stage) []Recorded {
	var found []Recorded
	for _, s := range stages {
		for _, out := range s.Outs {
			if out.Recorded == nil || out.Recorded.Digest == "" {
				continue
			}
			r := Recorded{Rel: out.Rel, Entry: *out.Recorded, Kept: KeptByGit, Made: s}
			if out.Cache {
				r.Kept = KeptByDVC
				r.Remote, r.Location = p.location(out, r.Entry)
			}
			found = append(found, r)
		}
	}
	return found
}

// location is where the object of an output belongs: the remote and the address
// there, without user names, passwords and queries. Whether it was pushed is
// not asked.
func (p *Project) location(out *Output, e dvcfile.Entry) (remote, address string) {
	if !out.Push || !e.Digest.Valid() {
		return "", ""
	}
	name, err := p.remoteName("", out.Remote)
	if err != nil {
		return "", ""
	}
	config, err := p.Config.Remote(name)
	if err != nil || config["version_aware"] == "true" || config["worktree"] == "true" {
		return name, "" // DVC gives such remotes other names for the objects
	}
	return name, joinURL(redactURL(config["url"]), p.cacheOf(&e).Algorithm().Key(e.Digest))
}

// joinURL puts a key below a folder or URL.
func joinURL(base, key string) string {
	if base == "" {
		return ""
	}
	return strings.TrimRight(base, "/") + "/" + key
}

// redactURL takes user, password, query and fragment out of a URL. A path stays
// as it is; what looks like a URL and is none shows its scheme only.
func redactURL(raw string) string {
	scheme, _, ok := strings.Cut(raw, "://")
	if !ok {
		return raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return scheme + "://"
	}
	u.User, u.RawQuery, u.Fragment, u.ForceQuery = nil, "", "", false
	return u.String()
}

// RemoteAddress is the address of a remote without secrets; "" where there is
// no such remote.
func (p *Project) RemoteAddress(name string) string {
	config, err := p.Config.Remote(name)
	if err != nil {
		return ""
	}
	return redactURL(config["url"])
}

// LockFiles lists the rel paths of the dvc.lock files of the stages, each once.
func LockFiles(stages []*Stage) []string {
	var files []string
	for _, s := range stages {
		if !s.IsData() && !slices.Contains(files, s.LockFile()) {
			files = append(files, s.LockFile())
		}
	}
	slices.SortFunc(files, func(a, b string) int {
		if d := strings.Count(a, "/") - strings.Count(b, "/"); d != 0 {
			return d
		}
		return strings.Compare(path.Clean(a), path.Clean(b))
	})
	return files
}
