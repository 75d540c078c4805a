package ctr

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// LightGBM is a model that LightGBM saved as text: a sum of binary trees over
// numeric features, with the binary objective.
//
// A node sends a value that is at most its threshold to the left. Its
// decision_type has the bits 1 (categorical split, not read here), 2 (missing
// values go left) and 4+8 (what counts as missing: 0 nothing, 1 zero, 2 NaN).
// A child below 0 is the leaf with the number ^child. The format has no
// document of its own; it is the one that LightGBM's src/io/tree.cpp writes.
type LightGBM struct {
	names   []string
	trees   []binaryTree
	sigmoid float64 // factor of the objective, mostly 1
}

type binaryTree struct {
	nodes  []binaryNode // the first is the root; empty where there is one leaf
	leaves []float64
}

type binaryNode struct {
	feature     int
	threshold   float64
	left, right int
	defaultLeft bool
	missing     missingType
}

type missingType int

const (
	missingNone missingType = iota
	missingZero
	missingNaN
)

// zeroThreshold is up to where LightGBM takes a number for zero.
const zeroThreshold = float64(float32(1e-35))

// section is a block of key=value lines: the header or one tree.
type section struct {
	name string
	line int // where it begins
	keys map[string]string
}

// ParseLightGBM reads a model file. name is used in errors only.
func ParseLightGBM(name string, data []byte) (*LightGBM, error) {
	sections, err := lightGBMSections(name, string(data))
	if err != nil {
		return nil, err
	}
	m := new(LightGBM)
	head := sections[0]
	if err := m.readHeader(head); err != nil {
		return nil, &InputError{File: name, Line: head.line, Msg: "LightGBM model: " + err.Error()}
	}
	for i, s := range sections[1:] {
		tree, err := s.tree(len(m.names))
		if err != nil {
			return nil, &InputError{File: name, Line: s.line, Msg: fmt.Sprintf("LightGBM model, tree %d: %v", i, err)}
		}
		m.trees = append(m.trees, tree)
	}
	if len(m.trees) == 0 {
		return nil, &InputError{File: name, Msg: "LightGBM model: has no trees"}
	}
	return m, nil
}

// lightGBMSections cuts the file at its Tree= lines, up to "end of trees".
func lightGBMSections(name, text string) ([]section, error) {
	open := func(name string, line int) section {
		return section{name: name, line: line, keys: map[string]string{}}
	}
	sections := []section{open("header", 1)}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, "=")
		switch {
		case line == "end of trees":
			return sections, nil
		case ok && key == "Tree":
			sections = append(sections, open("tree", number))
		default:
			last := &sections[len(sections)-1]
			if _, twice := last.keys[key]; twice && ok {
				return nil, &InputError{File: name, Line: number, Msg: fmt.Sprintf("LightGBM model: %q stands twice in one block", clip(key))}
			}
			if line != "" {
				last.keys[key] = value
			}
		}
	}
	return nil, &InputError{File: name, Line: number, Msg: `LightGBM model: ends without "end of trees": the file is cut short`}
}

func (m *LightGBM) readHeader(s section) error {
	if n := s.keys["num_tree_per_iteration"]; n != "1" {
		return fmt.Errorf("num_tree_per_iteration is %q: this program reads models of two classes", n)
	}
	if _, ok := s.keys["average_output"]; ok {
		return fmt.Errorf("averages its trees (random forest), which this program does not read")
	}
	objective := strings.Fields(s.keys["objective"])
	if len(objective) == 0 || objective[0] != "binary" {
		return fmt.Errorf("objective is %q, a probability needs binary", clip(s.keys["objective"]))
	}
	m.sigmoid = 1
	for _, option := range objective[1:] {
		if value, ok := strings.CutPrefix(option, "sigmoid:"); ok {
			factor, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return fmt.Errorf("objective: sigmoid: %q is not a number", clip(value))
			}
			m.sigmoid = factor
		}
	}
	m.names = strings.Fields(s.keys["feature_names"])
	if last, err := strconv.Atoi(s.keys["max_feature_idx"]); err != nil || last+1 != len(m.names) {
		return fmt.Errorf("max_feature_idx is %q for %d feature names", clip(s.keys["max_feature_idx"]), len(m.names))
	}
	return nil
}

// tree reads one tree over n features.
func (s section) tree(n int) (binaryTree, error) {
	count, err := strconv.Atoi(s.keys["num_leaves"])
	if err != nil || count < 1 {
		return binaryTree{}, fmt.Errorf("num_leaves is %q", clip(s.keys["num_leaves"]))
	}
	if v := s.keys["num_cat"]; v != "0" {
		return binaryTree{}, fmt.Errorf("num_cat is %q: categorical splits are not read by this program", clip(v))
	}
	if v := s.keys["is_linear"]; v != "" && v != "0" {
		return binaryTree{}, fmt.Errorf("is_linear is %q: linear leaves are not read by this program", clip(v))
	}
	var t binaryTree
	if t.leaves, err = numbers(s.keys, "leaf_value", count, parseFloat); err != nil {
		return t, err
	}
	features, err1 := numbers(s.keys, "split_feature", count-1, strconv.Atoi)
	thresholds, err2 := numbers(s.keys, "threshold", count-1, parseFloat)
	decisions, err3 := numbers(s.keys, "decision_type", count-1, strconv.Atoi)
	lefts, err4 := numbers(s.keys, "left_child", count-1, strconv.Atoi)
	rights, err5 := numbers(s.keys, "right_child", count-1, strconv.Atoi)
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			return t, err
		}
	}
	for i := range count - 1 {
		node := binaryNode{
			feature: features[i], threshold: thresholds[i], left: lefts[i], right: rights[i],
			defaultLeft: decisions[i]&2 != 0, missing: missingType(decisions[i] >> 2 & 3),
		}
		switch {
		case node.feature < 0 || node.feature >= n:
			return t, fmt.Errorf("node %d asks for feature %d of %d", i, node.feature, n)
		case decisions[i]&1 != 0 || node.missing > missingNaN:
			return t, fmt.Errorf("node %d has decision_type %d, which this program does not read", i, decisions[i])
		case !validChild(i, node.left, count) || !validChild(i, node.right, count):
			return t, fmt.Errorf("node %d has the children %d and %d, outside the tree", i, node.left, node.right)
		}
		t.nodes = append(t.nodes, node)
	}
	return t, nil
}

// validChild holds the walk inside the tree and finite: LightGBM numbers its
// nodes as it splits, so that a child comes after its parent.
func validChild(node, child, leaves int) bool {
	if child < 0 {
		return ^child < leaves
	}
	return child > node && child < leaves-1
}

func parseFloat(s string) (float64, error) { return strconv.ParseFloat(s, 64) }

// numbers reads a list of exactly n numbers.
func numbers[T any](keys map[string]string, key string, n int, parse func(string) (T, error)) ([]T, error) {
	fields := strings.Fields(keys[key])
	if len(fields) != n {
		return nil, fmt.Errorf("%s has %d values, not %d", key, len(fields), n)
	}
	list := make([]T, n)
	for i, field := range fields {
		value, err := parse(field)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a number", key, clip(field))
		}
		list[i] = value
	}
	return list, nil
}

// Features implements Predictor.
func (m *LightGBM) Features() []string { return m.names }

// Predict implements Predictor.
func (m *LightGBM) Predict(values []float64) float64 {
	var sum float64
	for i := range m.trees {
		sum += m.trees[i].predict(values)
	}
	return sigmoid(m.sigmoid * sum)
}

func (t *binaryTree) predict(values []float64) float64 {
	at := 0
	if len(t.nodes) == 0 {
		at = ^0
	}
	for at >= 0 {
		node := &t.nodes[at]
		at = node.right
		if node.goesLeft(values[node.feature]) {
			at = node.left
		}
	}
	return t.leaves[^at]
}

func (n *binaryNode) goesLeft(value float64) bool {
	if math.IsNaN(value) && n.missing != missingNaN {
		value = 0
	}
	if n.missing == missingZero && math.Abs(value) <= zeroThreshold || n.missing == missingNaN && math.IsNaN(value) {
		return n.defaultLeft
	}
	return value <= n.threshold
}
