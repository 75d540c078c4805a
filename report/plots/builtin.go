package plots

import "ctrx/pipeline/dvcfile"

// The built-in templates are those of DVC 3.67.1 with its render library: they
// have its marks and anchors, so a spec means the same to the programs that
// read it. A test compares them with what `dvc plots templates` prints.

type builtinTemplate struct {
	name string
	spec func() *dvcfile.Map
}

func builtin() []builtinTemplate {
	return []builtinTemplate{
		{"simple", simple},
		{"linear", smooth}, // DVC's linear plot is its smooth one with another name
		{"confusion", func() *dvcfile.Map { return confusion(false) }},
		{"confusion_normalized", func() *dvcfile.Map { return confusion(true) }},
		{"scatter", scatter},
		{"scatter_jitter", scatterJitter},
		{"smooth", smooth},
		{"bar_horizontal_sorted", func() *dvcfile.Map { return bars(true) }},
		{"bar_horizontal", func() *dvcfile.Map { return bars(false) }},
	}
}

// obj makes a mapping of alternating keys and values.
func obj(kv ...any) *dvcfile.Map { return dvcfile.NewMap(kv...) }

func list(items ...dvcfile.Value) []dvcfile.Value { return items }

// with adds keys and values behind those of a mapping.
func with(m *dvcfile.Map, kv ...any) *dvcfile.Map {
	for i := 0; i < len(kv); i += 2 {
		m.Set(kv[i].(string), kv[i+1])
	}
	return m
}

// number makes a value that JSON writes as an integer.
func number(n int64) dvcfile.Value { return dvcfile.NewInt(n) }

// frame is what all templates begin with.
func frame(kv ...any) *dvcfile.Map {
	m := obj(
		"$schema", "https://vega.github.io/schema/vega-lite/v5.json",
		"data", obj("values", anchor("data")),
		"title", obj("text", anchor("title"), "anchor", "middle"),
	)
	return with(m, kv...)
}

// sized is frame for a plot that has one panel.
func sized(kv ...any) *dvcfile.Map {
	return with(frame("width", anchor("plot_width"), "height", anchor("plot_height")), kv...)
}

// axis encodes x or y.
func axis(name, kind string, more ...any) *dvcfile.Map {
	return with(obj("field", anchor(name), "type", kind, "title", anchor(name+"_label")), more...)
}

// loose lets an axis begin elsewhere than at zero.
func loose() *dvcfile.Map { return obj("zero", false) }

func quantity(name string) *dvcfile.Map { return axis(name, "quantitative") }

func looseY() *dvcfile.Map { return axis("y", "quantitative", "scale", loose()) }

func zoom() []dvcfile.Value { return list(anchor("zoom_and_pan")) }

func dataTooltip() *dvcfile.Map { return obj("content", "data") }

func simple() *dvcfile.Map {
	return frame(
		"params", zoom(), "width", anchor("plot_width"), "height", anchor("plot_height"),
		"mark", obj("type", "line", "tooltip", dataTooltip()),
		"encoding", obj(
			"x", quantity("x"), "y", looseY(),
			"color", anchor("color"), "strokeDash", anchor("stroke_dash"), "tooltip", anchor("tooltip")),
	)
}

func scatter() *dvcfile.Map {
	return sized(
		"mark", obj("type", "point", "tooltip", dataTooltip()),
		"params", zoom(),
		"encoding", obj(
			"x", quantity("x"), "y", quantity("y"),
			"color", anchor("color"), "shape", anchor("shape"), "tooltip", anchor("tooltip")),
	)
}

func scatterJitter() *dvcfile.Map {
	random := func(as string) *dvcfile.Map { return obj("calculate", "random()", "as", as) }
	untyped := func(name string) *dvcfile.Map { return obj("field", anchor(name), "title", anchor(name+"_label")) }
	return sized(
		"transform", list(random("randomX"), random("randomY")),
		"mark", obj("type", "point", "tooltip", dataTooltip()),
		"encoding", obj(
			"x", untyped("x"), "y", untyped("y"),
			"color", anchor("color"), "shape", anchor("shape"), "tooltip", anchor("tooltip"),
			"xOffset", obj("field", "randomX", "type", "quantitative"),
			"yOffset", obj("field", "randomY", "type", "quantitative")),
	)
}

func bars(sorted bool) *dvcfile.Map {
	y := axis("y", "nominal")
	if sorted {
		y.Set("sort", "-x")
	}
	return sized(
		"mark", obj("type", "bar"),
		"params", zoom(),
		"encoding", obj(
			"x", axis("x", "quantitative", "scale", loose()), "y", y,
			"yOffset", obj("field", "rev", "sort", list()),
			"color", anchor("color"), "column", anchor("column")),
	)
}

// smooth is a line that a slider smooths, over a pale line of the data itself,
// with the last point marked and a rule that follows the mouse.
func smooth() *dvcfile.Map {
	slider := obj("name", "smooth", "value", dvcfile.Float(0.001),
		"bind", obj("input", "range", "min", dvcfile.Float(0.001), "max", number(1), "step", dvcfile.Float(0.001)))
	byRev := func() *dvcfile.Map { return obj("field", "rev", "type", "nominal") }
	hovered := func(kv ...any) *dvcfile.Map { return with(obj(kv...), "param", "hover", "empty", false) }
	return sized(
		"params", list(slider),
		"encoding", obj("x", quantity("x"), "color", anchor("color"), "strokeDash", anchor("stroke_dash")),
		"layer", list(
			obj(
				"layer", list(
					obj("params", zoom(), "mark", "line"),
					obj("transform", list(obj("filter", hovered())), "mark", "point")),
				"encoding", obj("y", looseY(), "color", byRev()),
				"transform", list(obj("loess", anchor("y"), "on", anchor("x"), "groupby", anchor("group_by"),
					"bandwidth", obj("signal", "smooth")))),
			obj(
				"mark", obj("type", "line", "opacity", dvcfile.Float(0.2)),
				"encoding", obj("x", quantity("x"), "y", looseY(), "color", byRev())),
			obj(
				"mark", obj("type", "circle", "size", number(10)),
				"encoding", obj(
					"x", with(obj("aggregate", "max"), spread(quantity("x"))...),
					"y", with(obj("aggregate", obj("argmax", anchor("x"))), spread(looseY())...),
					"color", byRev())),
			obj(
				"transform", list(
					obj("calculate", anchor("pivot_field"), "as", "pivot_field"),
					obj("pivot", "pivot_field", "op", "mean", "value", anchor("y"), "groupby", list(anchor("x")))),
				"mark", obj("type", "rule", "tooltip", dataTooltip(), "stroke", "grey"),
				"encoding", obj("opacity", obj("condition", hovered("value", dvcfile.Float(0.3)), "value", number(0))),
				"params", list(obj("name", "hover", "select", obj("type", "point", "fields", list(anchor("x")),
					"nearest", true, "on", "mouseover", "clear", "mouseout"))))),
	)
}

// spread gives the keys and values of a mapping as arguments.
func spread(m *dvcfile.Map) []any {
	var kv []any
	for i := range m.Len() {
		key, v := m.At(i)
		kv = append(kv, key, v)
	}
	return kv
}

// confusion counts the rows of each pair of x and y. Normalized, a cell is the
// share of its count in all of the same y.
func confusion(normalized bool) *dvcfile.Map {
	facet := obj("column", obj("field", "rev", "sort", list()), "row", anchor("row"))
	if normalized {
		return frame("facet", facet, "spec", confusionSpec(true))
	}
	checkbox := obj("name", "showValues", "bind", obj("input", "checkbox"))
	return frame("facet", facet, "params", list(checkbox), "spec", confusionSpec(false))
}

func confusionSpec(normalized bool) *dvcfile.Map {
	const count = "xy_count"
	x, y := anchor("x"), anchor("y")
	impute := func(groups dvcfile.Value, key string) *dvcfile.Map {
		return obj("impute", count, "groupby", groups, "key", key, "value", number(0))
	}
	all := func(op, as string, groups []dvcfile.Value) *dvcfile.Map {
		return obj("joinaggregate", list(obj("op", op, "field", count, "as", as)), "groupby", groups)
	}
	share, groupY := "percent_of_max", dvcfile.Value(anchor("group_by_y"))
	whole := all("max", "max_count", list())
	ratio := obj("calculate", "datum.xy_count / datum.max_count", "as", share)
	if normalized {
		share, groupY = "percent_of_y", list("rev", y)
		whole = all("sum", "sum_y", list(y))
		ratio = obj("calculate", "datum.xy_count / datum.sum_y", "as", share)
	}
	ascending := func(name string) *dvcfile.Map {
		return obj("field", anchor(name), "type", "nominal", "sort", "ascending", "title", anchor(name+"_label"))
	}
	return obj(
		"transform", list(
			obj("aggregate", list(obj("op", "count", "as", count)), "groupby", list(y, x)),
			impute(groupY, x), impute(anchor("group_by_x"), y), whole, ratio),
		"encoding", obj("x", ascending("x"), "y", ascending("y")),
		"layer", list(
			confusionCells(normalized, count, share), confusionLabel(normalized, count, share),
			obj("transform", list(obj("filter", obj("selection", "label"))),
				"layer", list(obj("mark", obj("type", "rect", "color", "lightpink")))),
			confusionText(normalized, count, share)),
	)
}

// confusionCells are the coloured cells.
func confusionCells(normalized bool, count, share string) *dvcfile.Map {
	colour := func(field string, scale *dvcfile.Map) *dvcfile.Map {
		return obj("color", obj("field", field, "type", "quantitative", "title", "", "scale", scale))
	}
	encoding := colour(count, obj("domainMin", number(0), "nice", true))
	if normalized {
		encoding = colour(share, obj("domain", list(number(0), number(1))))
	}
	return obj("mark", "rect", "width", anchor("plot_width"), "height", anchor("plot_height"), "encoding", encoding)
}

// confusionLabel is the cell under the mouse, with its tooltip.
func confusionLabel(normalized bool, count, share string) *dvcfile.Map {
	value := obj("field", count, "type", "quantitative")
	if normalized {
		value = obj("field", share, "type", "quantitative", "format", ".2f")
	}
	return obj(
		"selection", obj("label", obj("type", "single", "on", "mouseover", "encodings", list("x", "y"), "empty", "none", "clear", "mouseout")),
		"mark", "rect",
		"encoding", obj(
			"tooltip", list(obj("field", anchor("x"), "type", "nominal"), obj("field", anchor("y"), "type", "nominal"), value),
			"opacity", obj("condition", obj("selection", "label", "value", number(1)), "value", number(0))))
}

// confusionText writes the counts where the checkbox asks for them.
func confusionText(normalized bool, count, share string) *dvcfile.Map {
	encoding := obj()
	if !normalized {
		encoding.Set("text", obj("condition", obj("param", "showValues", "field", count, "type", "quantitative")))
	}
	encoding.Set("color", obj("condition", obj("test", "datum."+share+" > 0.5", "value", "white"), "value", "black"))
	return obj("mark", "text", "encoding", encoding)
}
