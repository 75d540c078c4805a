package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"ctrx/internal/errs"
	"ctrx/pipeline"
	"ctrx/pipeline/dvcfile"
)

func (a *app) listCommand() *cobra.Command {
	var f pipeline.ForeignOptions
	var o pipeline.ListOptions
	var options []string
	var asJSON, tree, size, hash bool
	c := &cobra.Command{
		Use: "list REPOSITORY [PATH]", Aliases: []string{"ls"}, Short: "List what a repository has, tracked by Git or DVC", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			a.json = asJSON
			if tree && asJSON {
				return errs.New(errs.Usage, "Cannot use --tree and --json options together.")
			}
			if len(args) > 1 {
				o.Path = args[1]
			}
			return a.foreign(c.Context(), args[0], f, options, func(r *pipeline.Foreign) error {
				if tree {
					rows, err := r.Tree(c.Context(), o)
					if err == nil {
						a.printTree(rows, size, hash)
					}
					return err
				}
				entries, err := r.List(c.Context(), o)
				if err != nil {
					return err
				}
				if asJSON {
					values := make([]dvcfile.Value, len(entries))
					for i, e := range entries {
						values[i] = e.Value()
					}
					a.printf("%s\n", dvcfile.JSON(values))
					return nil
				}
				a.printEntries(entries, size, hash)
				return nil
			})
		},
	}
	foreignFlags(c.Flags(), &f, &options)
	fl := c.Flags()
	fl.BoolVarP(&o.Recursive, "recursive", "R", false, "all files below")
	fl.BoolVarP(&tree, "tree", "T", false, "draw a tree")
	fl.IntVarP(&o.Level, "level", "L", 0, "how deep")
	fl.BoolVar(&o.DVCOnly, "dvc-only", false, "only what DVC tracks")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	fl.BoolVar(&size, "size", false, "show sizes")
	fl.BoolVar(&hash, "show-hash", false, "show hashes")
	return c
}

// cells are the columns of an entry: size, hash, name.
func cells(e pipeline.ListEntry, name string, size, hash bool) []string {
	var row []string
	if size {
		text := ""
		if e.Size > 0 || e.Size == 0 && !e.IsDir {
			text = byteSize(e.Size)
		}
		row = append(row, text)
	}
	if hash {
		text := string(e.Digest)
		if text == "" {
			text = "-"
		}
		row = append(row, text)
	}
	return append(row, name)
}

func (a *app) printEntries(entries []pipeline.ListEntry, size, hash bool) {
	rows := make([][]string, len(entries))
	for i, e := range entries {
		rows[i] = cells(e, e.Path, size, hash)
	}
	a.printColumns(rows, size)
}

func (a *app) printTree(rows []pipeline.TreeRow, size, hash bool) {
	table := make([][]string, len(rows))
	for i, r := range rows {
		name := r.Path
		if r.Depth > 0 {
			branch := "├── "
			if r.Last[r.Depth-1] {
				branch = "└── "
			}
			name = branch + name
			for j := r.Depth - 2; j >= 0; j-- {
				if r.Last[j] {
					name = "    " + name
				} else {
					name = "│   " + name
				}
			}
		}
		table[i] = cells(r.ListEntry, name, size, hash)
	}
	a.printColumns(table, size)
}

// printColumns prints rows with two blanks between columns; the first one stands
// to the right where it is a number.
func (a *app) printColumns(rows [][]string, firstRight bool) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			blanks := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			switch {
			case i == len(row)-1:
				line.WriteString(cell)
			case i == 0 && firstRight:
				line.WriteString(blanks + cell + "  ")
			default:
				line.WriteString(cell + blanks + "  ")
			}
		}
		a.printf("%s\n", strings.TrimRight(line.String(), " "))
	}
}

func (a *app) duCommand() *cobra.Command {
	var f pipeline.ForeignOptions
	var options []string
	var summarize bool
	c := &cobra.Command{
		Use: "du REPOSITORY [PATH]", Short: "Say how large the files of a repository are", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			path := ""
			if len(args) > 1 {
				path = args[1]
			}
			return a.foreign(c.Context(), args[0], f, options, func(r *pipeline.Foreign) error {
				all, err := r.DiskUsage(c.Context(), path, summarize)
				if err != nil {
					return err
				}
				rows := make([][]string, len(all))
				for i, u := range all {
					rows[i] = []string{byteSize(u.Size), u.Path}
				}
				a.printColumns(rows, false)
				return nil
			})
		},
	}
	foreignFlags(c.Flags(), &f, &options)
	c.Flags().BoolVarP(&summarize, "summarize", "s", false, "one size for all")
	return c
}
