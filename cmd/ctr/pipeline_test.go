package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A stage that does not name a Go file it uses would not run again when that
// file changes. So the deps of dvc.yaml are compared with the files that a
// stage's code reaches.
func TestStagesDependOnTheirCode(t *testing.T) {
	root := filepath.Join("..", "..")
	code := loadCode(t, root)
	declared := goDeps(t, filepath.Join(root, "dvc.yaml"))
	for _, stage := range []string{"dataset", "featurize", "evaluate"} {
		want := code.reach(stage)
		want["cmd/ctr/main.go"] = true
		if got, want := declared[stage], slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
			t.Errorf("dvc.yaml: stage %s has the Go files %v as deps, its code uses %v", stage, got, want)
		}
	}
}

// goDeps reads the deps that are Go files, by stage. It knows the one layout
// that the project's dvc.yaml has.
func goDeps(t *testing.T, path string) map[string][]string {
	t.Helper()
	deps := make(map[string][]string)
	var stage, section string
	for line := range strings.Lines(readFile(t, path)) {
		line = strings.TrimRight(line, "\r\n")
		indent := len(line) - len(strings.TrimLeft(line, " "))
		word := strings.TrimSpace(line)
		switch {
		case indent == 2 && strings.HasSuffix(word, ":"):
			stage = strings.TrimSuffix(word, ":")
		case indent == 4:
			section = word
		case section == "deps:" && strings.HasSuffix(word, ".go"):
			deps[stage] = append(deps[stage], strings.TrimPrefix(word, "- "))
		}
	}
	return deps
}

// code is the type-checked source of ctr and cmd/ctr.
type code struct {
	fset  *token.FileSet
	uses  map[*ast.Ident]types.Object
	decls map[types.Object]ast.Node // package-level names and methods
	roots map[string]types.Object   // functions of package main
}

func loadCode(t *testing.T, root string) *code {
	t.Helper()
	c := &code{fset: token.NewFileSet(), uses: map[*ast.Ident]types.Object{}, decls: map[types.Object]ast.Node{}, roots: map[string]types.Object{}}
	std := importer.ForCompiler(c.fset, "source", nil)
	known := importerFunc{std: std, own: map[string]*types.Package{}}
	for _, dir := range []string{"ctr", "cmd/ctr"} {
		paths, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		var files []*ast.File
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			file, err := parser.ParseFile(c.fset, dir+"/"+filepath.Base(path), data, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
		info := types.Info{Defs: map[*ast.Ident]types.Object{}, Uses: c.uses}
		pkg, err := (&types.Config{Importer: known}).Check("ctrx/"+dir, c.fset, files, &info)
		if err != nil {
			t.Fatal(err)
		}
		known.own["ctrx/"+dir] = pkg
		for _, file := range files {
			c.addDecls(file, info.Defs)
		}
		for _, name := range pkg.Scope().Names() {
			c.roots[name] = pkg.Scope().Lookup(name)
		}
	}
	return c
}

func (c *code) addDecls(file *ast.File, defs map[*ast.Ident]types.Object) {
	for _, decl := range file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			c.decls[defs[decl.Name]] = decl
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					c.decls[defs[spec.Name]] = spec
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						c.decls[defs[name]] = spec
					}
				}
			}
		}
	}
}

// reach gives the files with the declarations that a function of package main
// uses, directly or not. Methods that are called through an interface are not
// followed; they stand in the file of their type, which is.
func (c *code) reach(function string) map[string]bool {
	files := make(map[string]bool)
	seen := make(map[types.Object]bool)
	queue := []types.Object{c.roots[function]}
	for len(queue) > 0 {
		object := queue[0]
		queue = queue[1:]
		// A method of a generic type is used as an instance of it.
		if f, ok := object.(*types.Func); ok {
			object = f.Origin()
		}
		decl := c.decls[object]
		if decl == nil || seen[object] {
			continue
		}
		seen[object] = true
		files[c.fset.Position(decl.Pos()).Filename] = true
		ast.Inspect(decl, func(n ast.Node) bool {
			if ident, ok := n.(*ast.Ident); ok && c.uses[ident] != nil {
				queue = append(queue, c.uses[ident])
			}
			return true
		})
	}
	return files
}

// importerFunc gives our own packages as checked before, others from source.
type importerFunc struct {
	std types.Importer
	own map[string]*types.Package
}

func (i importerFunc) Import(path string) (*types.Package, error) {
	if pkg := i.own[path]; pkg != nil {
		return pkg, nil
	}
	return i.std.Import(path)
}
