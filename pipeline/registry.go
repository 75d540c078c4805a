package pipeline

import (
	"cmp"
	"context"
	"errors"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ctrx/gitops"
	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// ArtifactOptions names an artifact of a model registry: a repository whose
// dvc.yaml files have artifacts, and whose annotated tags, as GTO makes them, say
// what is which version (NAME@v1.2.3) and which commit is in which stage
// (NAME#prod, with a counter behind it).
type ArtifactOptions struct {
	Name    string // NAME, FOLDER:NAME or FOLDER/dvc.yaml:NAME
	Version string // "v1.2.3"; "" and no Stage: the highest
	Stage   string
}

// registryTag is a tag that says something of an artifact: NAME@VERSION or
// NAME#STAGE; a ! behind it takes that back.
var registryTag = regexp.MustCompile(`^((?:[a-zA-Z0-9\-_./]+=)?[a-zA-Z0-9](?:[a-zA-Z0-9\-/_]*[a-zA-Z0-9])?)(?:#([a-zA-Z0-9](?:[a-zA-Z0-9\-/_]*[a-zA-Z0-9])?)|@v(\d+\.\d+\.\d+(?:-[0-9a-zA-Z\-.]+)?(?:\+[0-9a-zA-Z\-.]+)?))(!?)(?:#[0-9]+)?$`)

// OpenArtifact finds the commit that an artifact of a repository is at, opens the
// repository there, and gives the path of the artifact's data in it.
func OpenArtifact(ctx context.Context, o ForeignOptions, a ArtifactOptions) (_ *Foreign, rel string, err error) {
	if a.Version != "" && a.Stage != "" {
		return nil, "", errs.New(errs.Usage, "Artifact version and stage are mutually exclusive.")
	}
	dir, name, inFolder := strings.Cut(a.Name, ":")
	if !inFolder {
		dir, name = "", a.Name
	}
	dir = strings.TrimSuffix(strings.TrimSuffix(dir, "dvc.yaml"), "/")
	o.Rev = ""
	if o.Rev, err = artifactCommit(ctx, o, dir, name, a); err != nil {
		return nil, "", err
	}
	f, err := OpenForeign(ctx, o)
	if err != nil {
		return nil, "", err
	}
	if rel, err = f.artifactPath(ctx, dir, name); err != nil {
		return nil, "", errors.Join(err, f.Close())
	}
	return f, rel, nil
}

// artifactCommit asks the tags of a repository.
func artifactCommit(ctx context.Context, o ForeignOptions, dir, name string, a ArtifactOptions) (commit string, err error) {
	f, err := OpenForeign(ctx, o)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if f.p.Git == nil {
		return "", errs.New(errs.Usage, "'%s' is no Git repository: artifacts are found by its tags", o.URL)
	}
	tags, err := f.p.Git.AnnotatedTags()
	if err != nil {
		return "", err
	}
	full := name
	if dir != "" {
		full = dir + "=" + name
	}
	if commit = registered(tags, full, a); commit != "" {
		return commit, nil
	}
	what := "'" + a.Name + "'"
	if a.Version != "" {
		what += " with version '" + a.Version + "'"
	}
	if a.Stage != "" {
		what += " in stage '" + a.Stage + "'"
	}
	return "", errs.Hint(errs.New(errs.NotFound, "no tag of '%s' registers the artifact %s", o.URL, what), "git ls-remote --tags %s shows them; a version is registered by: git tag -a -m registered %s@v1.0.0 COMMIT", o.URL, full)
}

// registered gives the commit of a version, of the commit that is in a stage, or
// of the highest version; "" where there is none.
func registered(tags []gitops.Tag, full string, a ArtifactOptions) string {
	slices.SortStableFunc(tags, func(x, y gitops.Tag) int { return x.When.Compare(y.When) })
	versions := map[string]string{} // version -> commit
	var inStage []string            // commits, the last one came last
	for _, t := range tags {
		m := registryTag.FindStringSubmatch(t.Name)
		if m == nil || m[1] != full {
			continue
		}
		stage, version, back := m[2], m[3], m[4] == "!"
		switch {
		case version != "" && back:
			delete(versions, version)
		case version != "":
			versions[version] = t.Commit
		case stage == a.Stage && a.Stage != "":
			inStage = slices.DeleteFunc(inStage, func(c string) bool { return c == t.Commit })
			if !back {
				inStage = append(inStage, t.Commit)
			}
		}
	}
	switch {
	case a.Stage != "" && len(inStage) > 0:
		return inStage[len(inStage)-1]
	case a.Stage != "" || len(versions) == 0:
		return ""
	case a.Version != "":
		return versions[strings.TrimPrefix(a.Version, "v")]
	}
	highest := ""
	for v := range versions {
		if highest == "" || compareVersions(v, highest) > 0 {
			highest = v
		}
	}
	return versions[highest]
}

// compareVersions orders as semver.org says.
func compareVersions(a, b string) int {
	a, _, _ = strings.Cut(a, "+")
	b, _, _ = strings.Cut(b, "+")
	a, preA, isPreA := strings.Cut(a, "-")
	b, preB, isPreB := strings.Cut(b, "-")
	if c := slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), compareVersionParts); c != 0 {
		return c
	}
	if isPreA != isPreB { // a release is higher than what came before it
		if isPreA {
			return -1
		}
		return 1
	}
	return slices.CompareFunc(strings.Split(preA, "."), strings.Split(preB, "."), compareVersionParts)
}

// compareVersionParts compares numbers as such; they are lower than words.
func compareVersionParts(a, b string) int {
	x, errA := strconv.ParseUint(a, 10, 64)
	y, errB := strconv.ParseUint(b, 10, 64)
	switch {
	case errA == nil && errB == nil:
		return cmp.Compare(x, y)
	case errA == nil:
		return -1
	case errB == nil:
		return 1
	}
	return cmp.Compare(a, b)
}

// artifactPath reads the dvc.yaml that defines an artifact.
func (f *Foreign) artifactPath(ctx context.Context, dir, name string) (string, error) {
	file := path.Join(dir, "dvc.yaml")
	if _, err := cleanForeign(file); err != nil {
		return "", err
	}
	sub, rel, err := f.within(ctx, file)
	if err != nil {
		return "", err
	}
	ix, err := sub.index(ctx)
	if err != nil {
		return "", err
	}
	for _, p := range ix.Pipelines {
		if p.File != rel {
			continue
		}
		v, _ := p.Artifacts.Get(name)
		if m, ok := v.(*dvcfile.Map); ok {
			if data, _ := m.Get("path"); data != nil {
				return path.Join(dir, dvcfile.PyStr(data)), nil
			}
		}
	}
	return "", errs.New(errs.NotFound, "'%s' has no artifact '%s' in %s at commit %s", f.o.URL, name, file, f.Commit)
}
