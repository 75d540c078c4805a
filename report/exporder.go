package report

import (
	"regexp"
	"slices"
	"strings"

	"ctrx/internal/errs"
	"ctrx/pipeline/dvcfile"
)

// sorted orders experiments by the column that was asked for.
func (t *expTable) sorted(experiments []ExpRange) ([]ExpRange, error) {
	if t.options.SortBy == "" || len(experiments) == 0 {
		return experiments, nil
	}
	file, key, kind, err := t.names.column(t.options.SortBy)
	if err != nil {
		return nil, err
	}
	value := func(e ExpRange) dvcfile.Value {
		if len(e.Revs) == 0 || e.Revs[0].Data == nil {
			return nil
		}
		files := e.Revs[0].Data.Content().Metrics
		if kind == Param {
			files = e.Revs[0].Data.Content().Params
		}
		for _, f := range files {
			if m, ok := f.Data.(*dvcfile.Map); ok && f.Path == file && f.Err == nil {
				v, _ := dvcfile.Flatten(m).Get(key)
				return v
			}
		}
		return nil
	}
	sorted := slices.Clone(experiments)
	slices.SortStableFunc(sorted, func(a, b ExpRange) int {
		c := compareCells(value(a), value(b))
		if t.options.Descending {
			return -c
		}
		return c
	})
	return sorted, nil
}

// compareCells orders numbers before texts before nothing.
func compareCells(a, b dvcfile.Value) int {
	rank := func(v dvcfile.Value) int {
		switch {
		case v == nil:
			return 2
		case isNumber(v):
			return 0
		}
		return 1
	}
	if c := rank(a) - rank(b); c != 0 || a == nil {
		return c
	}
	if !isNumber(a) {
		return strings.Compare(dvcfile.PyStr(a), dvcfile.PyStr(b))
	}
	x, y := double(a), double(b)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// column finds the metric or parameter that "[file:]key" means; a file's name
// or a key may hold colons.
func (n expNames) column(by string) (file, key string, kind ColumnKind, err error) {
	type match struct {
		file, key string
		kind      ColumnKind
	}
	var matches []match
	each := func(visit func(names fileKeys, kind ColumnKind)) {
		visit(n.metrics, Metric)
		visit(n.params, Param)
	}
	parts := strings.Split(by, ":")
	for i := range parts {
		f, k := strings.Join(parts[:i], ":"), strings.Join(parts[i:], ":")
		each(func(names fileKeys, kind ColumnKind) {
			if slices.Contains(names.keys[f], k) {
				matches = append(matches, match{f, k, kind})
			}
		})
	}
	if len(matches) == 0 {
		plain := strings.TrimPrefix(by, ":")
		each(func(names fileKeys, kind ColumnKind) {
			for _, f := range names.files {
				if slices.Contains(names.keys[f], plain) {
					matches = append(matches, match{f, plain, kind})
				}
			}
		})
	}
	switch len(matches) {
	case 0:
		return "", "", 0, errs.New(errs.Usage, "Unknown sort column '%s'", by)
	case 1:
		return matches[0].file, matches[0].key, matches[0].kind, nil
	}
	var all []string
	for _, m := range matches {
		all = append(all, m.file+":"+m.key)
	}
	return "", "", 0, errs.Hint(errs.New(errs.Usage, "Ambiguous sort column '%s' matched '%s'", by, strings.Join(all, ", ")), "--sort-by %s", all[0])
}

// choose leaves columns out, in the order in which DVC does.
func (t *expTable) choose() error {
	keep, err := beginnings(t.options.Keep)
	if err != nil {
		return err
	}
	drop, err := beginnings(t.options.Drop)
	if err != nil {
		return err
	}
	without := func(unwanted func(c ExpColumn) bool) {
		t.Columns = slices.DeleteFunc(t.Columns, func(c ExpColumn) bool { return unwanted(c) && (keep == nil || !keep.MatchString(c.Title)) })
	}
	without(func(c ExpColumn) bool {
		return (c.Title == colState || c.Title == colExecutor) && !slices.ContainsFunc(c.Cells, func(s string) bool { return s != t.options.Fill })
	})
	if !t.options.Split {
		for i, row := range t.Rows {
			t.Columns[0].Cells[i] = row.label()
		}
		without(func(c ExpColumn) bool {
			return c.Kind == Label && (c.Title == colRev || c.Title == colTyp || c.Title == colParent)
		})
	}
	if t.options.OnlyChanged {
		without(func(c ExpColumn) bool {
			return len(c.Cells) > 0 && !slices.ContainsFunc(c.Cells, func(s string) bool { return s != c.Cells[0] })
		})
	}
	if drop != nil {
		without(func(c ExpColumn) bool { return drop.MatchString(c.Title) })
	}
	return nil
}

// beginnings compiles patterns that match at the beginning of a text.
func beginnings(patterns []string) (*regexp.Regexp, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	re, err := regexp.Compile("^(?:" + strings.Join(patterns, "|") + ")")
	if err != nil {
		return nil, errs.New(errs.Usage, "%w", err)
	}
	return re, nil
}
