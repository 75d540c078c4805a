package pickle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Load reads one value of any protocol up to 5. Anything but plain data is an
// error.
func Load(data []byte) (any, error) {
	m := &machine{in: data, memo: map[uint64]any{}}
	v, err := m.run()
	if err != nil {
		return nil, fmt.Errorf("unpickle: at byte %d: %w", len(data)-len(m.in), err)
	}
	return v, nil
}

// mark is what MARK puts on the stack.
type mark struct{}

// list is a list under construction: the memo and the stack share it.
type list struct{ items []any }

// machine is the stack machine that a pickle is a program for.
type machine struct {
	in    []byte
	stack []any
	memo  map[uint64]any
}

var (
	errShort = errors.New("the data ends early")
	errStack = errors.New("the stack does not hold what the next step needs")
)

func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.in)) {
		return nil, errShort
	}
	part := m.in[:n]
	m.in = m.in[n:]
	return part, nil
}

// number reads an unsigned integer of size bytes, least first.
func (m *machine) number(size uint64) (uint64, error) {
	b, err := m.take(size)
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:]), nil
}

// sized reads as many bytes as a number of size bytes before them says.
func (m *machine) sized(size uint64) ([]byte, error) {
	n, err := m.number(size)
	if err != nil {
		return nil, err
	}
	return m.take(n)
}

// line reads up to a newline.
func (m *machine) line() (string, error) {
	i := bytes.IndexByte(m.in, '\n')
	if i < 0 {
		return "", errShort
	}
	text := string(m.in[:i])
	m.in = m.in[i+1:]
	return text, nil
}

func (m *machine) push(v any, err error) error {
	if err == nil {
		m.stack = append(m.stack, v)
	}
	return err
}

func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 {
		return nil, errStack
	}
	v := m.stack[len(m.stack)-1]
	if _, isMark := v.(mark); isMark {
		return nil, errStack
	}
	m.stack = m.stack[:len(m.stack)-1]
	return v, nil
}

func (m *machine) top() (any, error) {
	v, err := m.pop()
	if err == nil {
		m.stack = append(m.stack, v)
	}
	return v, err
}

// toMark takes everything above the last mark, and the mark.
func (m *machine) toMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			items := append([]any(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, errStack
}

func (m *machine) run() (any, error) {
	for {
		op, err := m.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == opStop {
			v, err := m.pop()
			if err != nil {
				return nil, err
			}
			f := finisher{open: map[any]bool{}, left: maxValues}
			return f.value(v, 0)
		}
		if err := m.step(op[0]); err != nil {
			return nil, err
		}
	}
}

func (m *machine) step(op byte) error {
	switch op {
	case opProto:
		version, err := m.number(1)
		if err == nil && version > 5 {
			return fmt.Errorf("protocol %d is unknown", version)
		}
		return err
	case opFrame:
		_, err := m.number(8)
		return err
	case opMark:
		return m.push(mark{}, nil)
	case opNone:
		return m.push(nil, nil)
	case opNewTrue, opNewFalse:
		return m.push(op == opNewTrue, nil)
	case opEmptyDict:
		return m.push(&Dict{}, nil)
	case opEmptyList:
		return m.push(&list{}, nil)
	case opEmptyTuple:
		return m.push(Tuple{}, nil)
	case opPop:
		_, err := m.pop()
		return err
	case opDup:
		v, err := m.top()
		return m.push(v, err)
	case opPopMark:
		_, err := m.toMark()
		return err
	}
	if handled, err := m.stepMemo(op); handled {
		return err
	}
	if handled, err := m.stepScalar(op); handled {
		return err
	}
	return m.stepContainer(op)
}

// stepMemo keeps and brings back values that occur more than once.
func (m *machine) stepMemo(op byte) (bool, error) {
	size := map[byte]uint64{opBinPut: 1, opLongBinPut: 4, opBinGet: 1, opLongBinGet: 4}[op]
	var key uint64
	var err error
	switch op {
	case opMemoize:
		key = uint64(len(m.memo))
	case opPut, opGet:
		var text string
		if text, err = m.line(); err == nil {
			key, err = strconv.ParseUint(text, 10, 64)
		}
	case opBinPut, opLongBinPut, opBinGet, opLongBinGet:
		key, err = m.number(size)
	default:
		return false, nil
	}
	if err != nil {
		return true, err
	}
	switch op {
	case opGet, opBinGet, opLongBinGet:
		v, ok := m.memo[key]
		if !ok {
			return true, fmt.Errorf("nothing was kept under number %d", key)
		}
		return true, m.push(v, nil)
	}
	v, err := m.top()
	if err == nil {
		m.memo[key] = v
	}
	return true, err
}

func (m *machine) stepScalar(op byte) (bool, error) {
	switch op {
	case opBinInt:
		n, err := m.number(4)
		return true, m.push(int64(int32(n)), err)
	case opBinInt1:
		n, err := m.number(1)
		return true, m.push(int64(n), err)
	case opBinInt2:
		n, err := m.number(2)
		return true, m.push(int64(n), err)
	case opLong1:
		b, err := m.sized(1)
		return true, m.push(long(b), err)
	case opLong4:
		b, err := m.sized(4)
		return true, m.push(long(b), err)
	case opBinFloat:
		b, err := m.take(8)
		if err != nil {
			return true, err
		}
		return true, m.push(math.Float64frombits(binary.BigEndian.Uint64(b)), nil)
	case opBinUnicode, opShortBinString, opBinUnicode8:
		b, err := m.sized(map[byte]uint64{opShortBinString: 1, opBinUnicode: 4, opBinUnicode8: 8}[op])
		if err == nil && !utf8.Valid(b) {
			err = errors.New("a string is not UTF-8")
		}
		return true, m.push(string(b), err)
	case opBinBytes, opShortBinBytes, opBinBytes8:
		b, err := m.sized(map[byte]uint64{opShortBinBytes: 1, opBinBytes: 4, opBinBytes8: 8}[op])
		return true, m.push(append([]byte(nil), b...), err)
	case opInt, opLong, opFloat, opUnicode:
		return true, m.textScalar(op)
	}
	return false, nil
}

// textScalar reads the scalars of protocol 0.
func (m *machine) textScalar(op byte) error {
	text, err := m.line()
	if err != nil {
		return err
	}
	switch {
	case op == opUnicode:
		s, err := rawUnicode(text)
		return m.push(s, err)
	case op == opFloat:
		f, err := strconv.ParseFloat(text, 64)
		return m.push(f, err)
	case op == opInt && (text == "00" || text == "01"):
		return m.push(text == "01", nil)
	}
	if op == opLong && len(text) > 0 && text[len(text)-1] == 'L' {
		text = text[:len(text)-1]
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || len(text) > 1000 {
		return fmt.Errorf("%.20q is not a whole number", text)
	}
	return m.push(shortest(n), nil)
}

// rawUnicode reads Latin-1 text in which \uXXXX and \UXXXXXXXX stand for other
// characters.
func rawUnicode(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); {
		n := 0
		if strings.HasPrefix(text[i:], `\u`) {
			n = 6
		} else if strings.HasPrefix(text[i:], `\U`) {
			n = 10
		}
		if n == 0 {
			b.WriteRune(rune(text[i]))
			i++
			continue
		}
		if i+n > len(text) {
			return "", errShort
		}
		r, err := strconv.ParseUint(text[i+2:i+n], 16, 32)
		if err != nil || !utf8.ValidRune(rune(r)) {
			return "", fmt.Errorf("%q is not a character", text[i:i+n])
		}
		b.WriteRune(rune(r))
		i += n
	}
	return b.String(), nil
}

// long reads two's complement, least byte first.
func long(b []byte) any {
	if len(b) == 0 {
		return int64(0)
	}
	big2 := make([]byte, len(b))
	for i := range b {
		big2[len(b)-1-i] = b[i]
	}
	n := new(big.Int).SetBytes(big2)
	if big2[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return shortest(n)
}

func shortest(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}

func (m *machine) stepContainer(op byte) error {
	switch op {
	case opTuple1, opTuple2, opTuple3:
		n := int(op) - opTuple1 + 1
		t := make(Tuple, n)
		for i := range t {
			v, err := m.pop()
			if err != nil {
				return err
			}
			t[n-1-i] = v
		}
		return m.push(t, nil)
	case opTuple:
		items, err := m.toMark()
		return m.push(Tuple(items), err)
	case opList:
		items, err := m.toMark()
		return m.push(&list{items}, err)
	case opDict:
		items, err := m.toMark()
		if err != nil {
			return err
		}
		d := &Dict{}
		return m.push(d, d.add(items))
	case opAppend, opAppends:
		return m.extend(op == opAppend)
	case opSetItem, opSetItems:
		return m.setItems(op == opSetItem)
	}
	return fmt.Errorf("step %#02x is not one of plain data", op)
}

func (m *machine) extend(one bool) error {
	items, err := m.operands(one, 1)
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	l, ok := v.(*list)
	if !ok {
		return errStack
	}
	l.items = append(l.items, items...)
	return nil
}

func (m *machine) setItems(one bool) error {
	items, err := m.operands(one, 2)
	if err != nil {
		return err
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	d, ok := v.(*Dict)
	if !ok {
		return errStack
	}
	return d.add(items)
}

// operands takes n values, or with one unset everything up to the mark.
func (m *machine) operands(one bool, n int) ([]any, error) {
	if !one {
		return m.toMark()
	}
	items := make([]any, n)
	for i := range items {
		v, err := m.pop()
		if err != nil {
			return nil, err
		}
		items[n-1-i] = v
	}
	return items, nil
}

func (d *Dict) add(items []any) error {
	if len(items)%2 != 0 {
		return errStack
	}
	for i := 0; i < len(items); i += 2 {
		switch key := items[i].(type) {
		case string:
			d.Set(key, items[i+1])
		case nil, bool, int64, float64:
			d.Items = append(d.Items, Item{key, items[i+1]})
		default:
			return fmt.Errorf("a key of type %T is not understood", key)
		}
	}
	return nil
}

// finisher turns lists under construction into []any. A container that holds
// itself has no such form, and one that holds another many times over may grow
// without end.
type finisher struct {
	open map[any]bool
	left int // values that may still be made
}

const maxValues = 1 << 20

func (f *finisher) value(v any, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	if f.left--; f.left < 0 {
		return nil, fmt.Errorf("more than %d values", maxValues)
	}
	switch v := v.(type) {
	case mark:
		return nil, errStack
	case *list:
		if f.open[v] {
			return nil, errors.New("a list holds itself")
		}
		f.open[v] = true
		defer delete(f.open, v)
		return f.all(v.items, depth)
	case Tuple:
		items, err := f.all(v, depth)
		return Tuple(items), err
	case *Dict:
		if f.open[v] {
			return nil, errors.New("a dictionary holds itself")
		}
		f.open[v] = true
		defer delete(f.open, v)
		d := &Dict{Items: make([]Item, len(v.Items))}
		for i, it := range v.Items {
			value, err := f.value(it.Value, depth+1)
			if err != nil {
				return nil, err
			}
			d.Items[i] = Item{it.Key, value}
		}
		return d, nil
	}
	return v, nil
}

func (f *finisher) all(items []any, depth int) ([]any, error) {
	out := make([]any, len(items))
	for i, it := range items {
		v, err := f.value(it, depth+1)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}
