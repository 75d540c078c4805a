// Package pickle reads and writes plain data in the format of Python's pickle
// module: what DVC hands from the one that queues an experiment to the one that
// runs it (repro.dat, dvc-compat 11.7).
//
// Only data is understood: None, booleans, numbers, strings, bytes, tuples,
// lists, dictionaries. A pickle that names a class or calls a function is
// refused, so that reading one that somebody else wrote is harmless.
package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
)

// Tuple is a Python tuple. Lists are []any, None is nil, integers are int64 or
// *big.Int, and byte strings []byte.
type Tuple []any

// Dict is a Python dictionary in its order.
type Dict struct {
	Items []Item
}

// Item is one entry of a Dict.
type Item struct{ Key, Value any }

// Get gives the value of a string key.
func (d *Dict) Get(key string) (any, bool) {
	for _, it := range d.Items {
		if it.Key == any(key) {
			return it.Value, true
		}
	}
	return nil, false
}

// Set puts a value under a string key, in its old place where it has one.
func (d *Dict) Set(key string, value any) {
	for i, it := range d.Items {
		if it.Key == any(key) {
			d.Items[i].Value = value
			return
		}
	}
	d.Items = append(d.Items, Item{key, value})
}

// The opcodes that plain data needs, of the protocols up to 5.
const (
	opMark           = '('
	opStop           = '.'
	opPop            = '0'
	opPopMark        = '1'
	opDup            = '2'
	opFloat          = 'F'
	opInt            = 'I'
	opBinInt         = 'J'
	opBinInt1        = 'K'
	opLong           = 'L'
	opBinInt2        = 'M'
	opNone           = 'N'
	opBinUnicode     = 'X'
	opAppend         = 'a'
	opDict           = 'd'
	opEmptyDict      = '}'
	opAppends        = 'e'
	opGet            = 'g'
	opBinGet         = 'h'
	opLongBinGet     = 'j'
	opList           = 'l'
	opEmptyList      = ']'
	opPut            = 'p'
	opBinPut         = 'q'
	opLongBinPut     = 'r'
	opSetItem        = 's'
	opTuple          = 't'
	opEmptyTuple     = ')'
	opSetItems       = 'u'
	opBinFloat       = 'G'
	opUnicode        = 'V'
	opProto          = 0x80
	opTuple1         = 0x85
	opTuple2         = 0x86
	opTuple3         = 0x87
	opNewTrue        = 0x88
	opNewFalse       = 0x89
	opLong1          = 0x8a
	opLong4          = 0x8b
	opBinBytes       = 'B'
	opShortBinBytes  = 'C'
	opShortBinString = 0x8c // SHORT_BINUNICODE
	opBinUnicode8    = 0x8d
	opBinBytes8      = 0x8e
	opMemoize        = 0x94
	opFrame          = 0x95
)

// Dump writes a value with protocol 2, which every Python 3 reads.
func Dump(v any) ([]byte, error) {
	b, err := appendValue([]byte{opProto, 2}, v, 0)
	if err != nil {
		return nil, fmt.Errorf("pickle: %w", err)
	}
	return append(b, opStop), nil
}

func appendValue(b []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	switch v := v.(type) {
	case nil:
		return append(b, opNone), nil
	case bool:
		if v {
			return append(b, opNewTrue), nil
		}
		return append(b, opNewFalse), nil
	case int:
		return appendInt(b, int64(v)), nil
	case int64:
		return appendInt(b, v), nil
	case *big.Int:
		return appendLong(b, v), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, opBinFloat), math.Float64bits(v)), nil
	case string:
		b = binary.LittleEndian.AppendUint32(append(b, opBinUnicode), uint32(len(v)))
		return append(b, v...), nil
	case []byte:
		b = binary.LittleEndian.AppendUint32(append(b, opBinBytes), uint32(len(v)))
		return append(b, v...), nil
	case Tuple:
		if len(v) == 0 {
			return append(b, opEmptyTuple), nil
		}
		return appendAll(append(b, opMark), v, opTuple, depth)
	case []any:
		b = append(b, opEmptyList)
		if len(v) == 0 {
			return b, nil
		}
		return appendAll(append(b, opMark), v, opAppends, depth)
	case *Dict:
		return appendDict(b, v, depth)
	}
	return nil, fmt.Errorf("a value of type %T is not plain data", v)
}

func appendInt(b []byte, v int64) []byte {
	if v == int64(int32(v)) {
		return binary.LittleEndian.AppendUint32(append(b, opBinInt), uint32(int32(v)))
	}
	return appendLong(b, big.NewInt(v))
}

// appendLong writes an integer in two's complement, least byte first.
func appendLong(b []byte, v *big.Int) []byte {
	n := v.BitLen()/8 + 1
	bytes := make([]byte, n)
	two := new(big.Int).Set(v)
	if v.Sign() < 0 {
		two.Add(two, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	}
	two.FillBytes(bytes)
	if n < 256 {
		b = append(b, opLong1, byte(n))
	} else {
		b = binary.LittleEndian.AppendUint32(append(b, opLong4), uint32(n))
	}
	for i := range bytes {
		b = append(b, bytes[n-1-i])
	}
	return b
}

func appendAll(b []byte, list []any, end byte, depth int) ([]byte, error) {
	var err error
	for _, v := range list {
		if b, err = appendValue(b, v, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, end), nil
}

func appendDict(b []byte, d *Dict, depth int) ([]byte, error) {
	b = append(b, opEmptyDict)
	if len(d.Items) == 0 {
		return b, nil
	}
	b = append(b, opMark)
	var err error
	for _, it := range d.Items {
		if b, err = appendValue(b, it.Key, depth+1); err != nil {
			return nil, err
		}
		if b, err = appendValue(b, it.Value, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, opSetItems), nil
}

// maxDepth bounds nesting, so that a hostile file cannot exhaust the stack.
const maxDepth = 200

var errDeep = errors.New("the data is nested too deeply")
