package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"ctrx/pipeline"
)

func (a *app) fsckCommand() *cobra.Command {
	var o pipeline.FsckOptions
	var asJSON bool
	c := &cobra.Command{
		Use: "fsck", Short: "Find damaged and missing data in the cache and on a remote, and mend it", Args: cobra.NoArgs,
		Long: "Hashes every object of the cache and looks for what the work tree records, for\n" +
			"folders without all of their files, for wrong modes and for what commands that\n" +
			"died left behind. With --remote it also compares what the remote lists; --deep\n" +
			"reads all of it. --repair brings data back from the work tree, the cache or a\n" +
			"remote; damaged objects are moved to a quarantine folder, never deleted.\n\n" +
			"Ends with 0 when all is sound or was mended, 8 when something is damaged, 7 when\n" +
			"something is missing only.",
		RunE: func(c *cobra.Command, _ []string) error {
			a.json = asJSON
			return a.project(c.Context(), func(p *pipeline.Project) error {
				r, err := p.Fsck(c.Context(), o)
				if err != nil {
					return err
				}
				if asJSON {
					return errors.Join(a.printJSON(fsckValue(r)), r.Err())
				}
				a.printFsck(r)
				return r.Err()
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&o.Remote, "remote", "r", "", "also check the remote of this `name`")
	f.BoolVar(&o.Deep, "deep", false, "read every object of the remote, where its listing would do")
	f.BoolVar(&o.Repair, "repair", false, "mend what can be mended")
	f.IntVarP(&o.Jobs, "jobs", "j", 0, "number of requests at a time")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) printFsck(r pipeline.FsckResult) {
	repaired := 0
	for _, b := range r.Problems {
		name := b.For
		if name == "" {
			name = b.Path
		}
		a.printf("%-10s %s: %s: %s", b.What, b.Where, name, b.Detail)
		if b.Digest != "" {
			a.printf(" (%s)", b.Digest)
		}
		switch {
		case b.Repaired != "":
			repaired++
			a.printf("\n           %s\n", b.Repaired)
		case b.Hint != "":
			a.printf("\n           next: %s\n", b.Hint)
		default:
			a.printf("\n")
		}
		const show = 10
		for i, m := range b.Members {
			if i == show {
				a.printf("           and %d more\n", len(b.Members)-show)
				break
			}
			a.printf("           lacks %s (%s)\n", m.RelPath, m.Digest)
		}
	}
	if a.quiet {
		return
	}
	text := fmt.Sprintf("Checked %d objects, read %s", r.Objects, binarySize(float64(r.Bytes)))
	if r.Unchecked > 0 {
		text += fmt.Sprintf("; of %d the remote tells only the size (--deep reads them)", r.Unchecked)
	}
	switch {
	case len(r.Problems) == 0:
		text += ". Everything is sound."
	case repaired == len(r.Problems):
		text += fmt.Sprintf(". %d problems, all repaired.", repaired)
	default:
		text += fmt.Sprintf(". %d problems, %d repaired.", len(r.Problems), repaired)
	}
	a.printf("%s\n", text)
	if r.Quarantine != "" {
		a.printf("Damaged objects were moved to %s\n", r.Quarantine)
	}
}

// fsckProblem is what --json prints of a problem.
type fsckProblem struct {
	What     string       `json:"what"`
	Where    string       `json:"where"` // "cache", "project" or "remote"
	Remote   string       `json:"remote,omitempty"`
	MD5      string       `json:"md5,omitempty"`
	Path     string       `json:"path"`          // of the file, or the key on the remote
	For      string       `json:"for,omitempty"` // path in the work tree
	Size     int64        `json:"size"`
	Detail   string       `json:"detail"`
	Lacks    []fsckMember `json:"lacks,omitempty"`
	Repaired string       `json:"repaired,omitempty"`
	Hint     string       `json:"hint,omitempty"`
}

type fsckMember struct {
	Path string `json:"path"`
	MD5  string `json:"md5"`
}

func fsckValue(r pipeline.FsckResult) any {
	problems := make([]fsckProblem, len(r.Problems))
	for i, b := range r.Problems {
		where := b.Where
		if b.Remote != "" {
			where = "remote"
		}
		problems[i] = fsckProblem{What: string(b.What), Where: where, Remote: b.Remote, MD5: string(b.Digest), Path: b.Path, For: b.For,
			Size: b.Size, Detail: b.Detail, Repaired: b.Repaired}
		if b.Repaired == "" {
			problems[i].Hint = b.Hint
		}
		for _, m := range b.Members {
			problems[i].Lacks = append(problems[i].Lacks, fsckMember{m.RelPath, string(m.Digest)})
		}
	}
	return struct {
		Objects    int           `json:"objects"`
		Bytes      int64         `json:"bytes"`
		Unchecked  int           `json:"unchecked"`
		Problems   []fsckProblem `json:"problems"`
		Quarantine string        `json:"quarantine,omitempty"`
	}{r.Objects, r.Bytes, r.Unchecked, problems, r.Quarantine}
}
