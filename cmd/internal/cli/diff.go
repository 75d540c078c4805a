package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
	"ctrx/report"
)

func (a *app) diffCommand() *cobra.Command {
	var o pipeline.DataDiffOptions
	var asJSON, md, hashes, hideMissing bool
	c := &cobra.Command{
		Use: "diff [OLD [NEW]]", Short: "Say what tracked data was added, changed, renamed or deleted between commits", Args: cobra.MaximumNArgs(2),
		Long: "Compares the data that two commits record, or one commit (HEAD) with the work tree.",
		RunE: func(c *cobra.Command, revs []string) error {
			a.json = asJSON
			o.Old = "HEAD"
			if len(revs) > 0 {
				o.Old = revs[0]
			}
			if len(revs) > 1 {
				o.New = revs[1]
			}
			return a.project(c.Context(), func(p *pipeline.Project) error {
				d, err := p.DataDiff(c.Context(), o)
				if err != nil {
					return err
				}
				switch {
				case asJSON:
					a.printf("%s\n", dvcfile.JSON(d.Value(hashes, hideMissing)))
				case md:
					a.printf("%s", diffTable(d, hashes, hideMissing).Markdown())
				default:
					a.printDataDiff(d, hashes, hideMissing)
				}
				return nil
			})
		},
	}
	f := c.Flags()
	f.StringArrayVar(&o.Targets, "targets", nil, "tracked `paths` to compare")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&hashes, "show-hash", false, "show hashes")
	f.BoolVar(&md, "md", false, "print a Markdown table")
	f.BoolVar(&hideMissing, "hide-missing", false, "leave out what is not in the cache")
	return c
}

func diffTable(d pipeline.DataDiff, hashes, hideMissing bool) report.Table {
	t := report.Table{Header: []string{"Status", "Path"}}
	if hashes {
		t.Header = []string{"Status", "Hash", "Path"}
	}
	for _, g := range d.Groups(hideMissing) {
		for _, x := range g.Differences {
			row := []string{g.Word, x.Shown()}
			if hashes {
				row = []string{g.Word, x.ShortHash(), x.Shown()}
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// printDataDiff prints the groups and then the number of files in each, as DVC
// does: what ends with a slash is no file.
func (a *app) printDataDiff(d pipeline.DataDiff, hashes, hideMissing bool) {
	var summary []string
	for _, g := range d.Groups(hideMissing) {
		if len(g.Differences) == 0 {
			continue
		}
		files := 0
		a.printf("%s:\n", strings.ToUpper(g.Word[:1])+g.Word[1:])
		for _, x := range g.Differences {
			if !strings.HasSuffix(x.Shown(), "/") {
				files++
			}
			hash := ""
			if hashes && x.Digest != "" {
				hash = x.ShortHash() + "  "
			}
			a.printf("    %s%s\n", hash, x.Shown())
		}
		a.printf("\n")
		if files > 0 {
			summary = append(summary, fmt.Sprintf("%d %s", files, g.Word))
		}
	}
	if len(summary) > 0 {
		a.printf("files summary: %s\n", strings.Join(summary, ", "))
	}
}
