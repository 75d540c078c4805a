package dvcfile

import (
	"math/big"
	"strconv"
	"strings"

	"ctrx/internal/errs"
)

// ParseYAML11 reads a YAML document as OmegaConf's loader does, which is how
// Hydra reads its config files: YAML 1.1 of the PyYAML library (yes, no, on and
// off are booleans, 017 is fifteen, 1:30 is ninety), with 1e5 a float and dates
// as strings. A string key that is given twice is an error. An empty document
// gives a node with a nil value. Errors are errs.ProjectFile with file:line:col.
func ParseYAML11(file string, data []byte) (*Node, error) {
	root, _, err := parseTree(file, data)
	if err != nil {
		return nil, err
	}
	c := constructor{text: errs.NewText(file, data), done: map[*ynode]*Node{}, v11: true}
	if root == nil {
		return &Node{Pos: c.text.At(1, 1)}, nil
	}
	return c.node(root)
}

// tagOf is the type of a scalar in the version of YAML that is read.
func (c *constructor) tagOf(n *ynode) string {
	if c.v11 && n.tag == "" && n.style == 0 {
		return resolvePlain11(n.text, true)
	}
	return n.scalarTag()
}

// resolvePlain11 gives the tag of a plain scalar under YAML 1.1. The loader of
// OmegaConf (loading) has more floats and no dates.
func resolvePlain11(s string, loading bool) string {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return tagNull
	case "<<":
		return tagMerge
	case "=":
		return tagValue
	}
	if _, ok := bool11(s); ok && s != "" {
		return tagBool
	}
	switch c := s[0]; {
	case c != '-' && c != '+' && c != '.' && !isDigit(c):
		return tagStr
	case isFloat11(s) || loading && isFloatOmega(s):
		return tagFloat
	case isInt11(s):
		return tagInt
	case !loading && isDate11(s):
		return tagTimestamp
	}
	return tagStr
}

// bool11 reads the booleans of YAML 1.1 that PyYAML knows: not y and n.
func bool11(s string) (value, ok bool) {
	for _, b := range []struct {
		word string
		is   bool
	}{{"yes", true}, {"true", true}, {"on", true}, {"no", false}, {"false", false}, {"off", false}} {
		if s == b.word || s == strings.ToUpper(b.word) || s == strings.ToUpper(b.word[:1])+b.word[1:] {
			return b.is, true
		}
	}
	return false, false
}

// isFloat11: a point is needed, and a sign in the exponent.
func isFloat11(s string) bool {
	switch s {
	case ".nan", ".NaN", ".NAN":
		return true
	}
	u := unsigned(s)
	switch u {
	case "":
		return false
	case ".inf", ".Inf", ".INF":
		return true
	}
	if s[0] == '.' {
		if len(s) < 2 || !isDigit(s[1]) {
			return false
		}
		_, rest := spanNumber(s[1:])
		return rest == "" || exponent(rest, true)
	}
	if !isDigit(u[0]) {
		return false
	}
	_, rest := spanNumber(u)
	rest, sixties := base60(rest)
	if rest == "" || rest[0] != '.' {
		return false
	}
	_, rest = spanNumber(rest[1:])
	return rest == "" || !sixties && exponent(rest, true)
}

// base60 cuts off the :MM groups of a number such as 1:30.
func base60(s string) (rest string, any bool) {
	for len(s) > 1 && s[0] == ':' && isDigit(s[1]) {
		n := 2
		if len(s) > 2 && isDigit(s[2]) && s[1] <= '5' {
			n = 3
		}
		s, any = s[n:], true
	}
	return s, any
}

// isFloatOmega: the floats that OmegaConf adds: no sign is needed in an
// exponent, nor a point before it; single underscores stand between digits.
func isFloatOmega(s string) bool {
	groups := func(s string) (rest string) {
		i := 0
		for i < len(s) && (isDigit(s[i]) || i > 0 && s[i] == '_' && i+1 < len(s) && isDigit(s[i+1]) && isDigit(s[i-1])) {
			i++
		}
		return s[i:]
	}
	if len(s) > 1 && s[0] == '.' && isDigit(s[1]) {
		rest := groups(s[1:])
		return rest == "" || exponent(rest, true)
	}
	u := unsigned(s)
	rest := groups(u)
	if rest == u || rest == "" {
		return false
	}
	if rest[0] == '.' {
		_, rest = spanNumber(rest[1:])
		return rest == "" || exponent(rest, false)
	}
	if after, any := base60(rest); any {
		if after == "" || after[0] != '.' {
			return false
		}
		_, after = spanNumber(after[1:])
		return after == ""
	}
	return exponent(rest, false)
}

func isInt11(s string) bool {
	u := unsigned(s)
	if u == "" || !isDigit(u[0]) {
		return false
	}
	if u == "0" {
		return true
	}
	if u[0] != '0' {
		_, rest := spanNumber(u)
		rest, _ = base60(rest)
		return rest == ""
	}
	digits := "01234567_"
	switch rest := u[1:]; {
	case strings.HasPrefix(rest, "b"):
		digits, u = "01_", rest
	case strings.HasPrefix(rest, "x"):
		digits, u = "0123456789abcdefABCDEF_", rest
	}
	return len(u) > 1 && strings.Trim(u[1:], digits) == ""
}

// isDate11: 2020-01-31, or with a time: 2020-1-31 10:00:00.5 +1:00.
func isDate11(s string) bool {
	_, ok := splitTimestamp(s)
	return ok
}

// intOf11 reads a scalar of type int under YAML 1.1.
func intOf11(s string) (Int, bool) {
	s = strings.ReplaceAll(s, "_", "")
	u := unsigned(s)
	if u == "" {
		return Int{}, false
	}
	var n Int
	ok := true
	switch {
	case u == "0":
	case strings.HasPrefix(u, "0b"):
		n, ok = parseDigits(u[2:], 2)
	case strings.HasPrefix(u, "0x"):
		n, ok = parseDigits(u[2:], 16)
	case u[0] == '0':
		n, ok = parseDigits(u, 8)
	case strings.Contains(u, ":"):
		sum := new(big.Int)
		for _, part := range strings.Split(u, ":") {
			digits, fine := parseDigits(part, 10)
			ok = ok && fine
			sum.Add(sum.Mul(sum, big.NewInt(60)), digits.Big())
		}
		n = bigInt(sum)
	default:
		n, ok = parseDigits(u, 10)
	}
	if ok && s[0] == '-' {
		n = bigInt(new(big.Int).Neg(n.Big()))
	}
	return n, ok
}

func parseDigits(s string, base int) (Int, bool) {
	if s == "" || s[0] == '+' || s[0] == '-' {
		return Int{}, false
	}
	return parseIntBase(s, base)
}

// floatOf11 reads a scalar of type float under YAML 1.1.
func floatOf11(s string) (Float, bool) {
	if !strings.Contains(s, ":") {
		return floatOf(s)
	}
	s = strings.ReplaceAll(s, "_", "")
	sum := 0.0
	for _, part := range strings.Split(unsigned(s), ":") {
		f, err := strconv.ParseFloat(part, 64)
		if err != nil {
			return 0, false
		}
		sum = sum*60 + f
	}
	if s[0] == '-' {
		sum = -sum
	}
	return Float(sum), true
}

// scalar11 gives the value of a scalar under its tag and YAML 1.1.
func (c *constructor) scalar11(n *ynode) (Value, error) {
	tag := c.tagOf(n)
	ok := true
	var v Value
	switch tag {
	case tagStr:
		return n.text, nil
	case tagNull:
		return nil, nil
	case tagBool:
		v, ok = bool11(strings.ToLower(n.text))
	case tagInt:
		v, ok = intOf11(n.text)
	case tagFloat:
		v, ok = floatOf11(n.text)
	case tagValue, tagMerge:
		return nil, errs.At(c.pos(n), "%s cannot be a value here; quote it", n.text)
	default:
		return nil, errs.At(c.pos(n), "the tag %s is not supported", tag)
	}
	if !ok {
		return nil, errs.At(c.pos(n), "%q is no valid %s", n.text, strings.TrimPrefix(tag, "!!"))
	}
	return v, nil
}
