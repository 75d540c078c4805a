package svg

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
)

// niceTicks makes an axis of the given length begin and end at round numbers,
// with labels at round numbers between, as many as there is room for. The room
// that a label takes is its height, or on a level axis its width.
func niceTicks(a *plot.Axis, length vg.Length, level bool) {
	if a.Min > a.Max {
		return
	}
	if a.Min == a.Max { // of one value only
		room := math.Max(math.Abs(a.Min)/10, 1e-300)
		if a.Min == 0 {
			room = 1
		}
		a.Min, a.Max = a.Min-room, a.Max+room
	}
	apart := vg.Length(36)
	if level {
		apart = 50
	}
	for ; apart < length; apart *= 1.25 {
		marks := roundMarks(a.Min, a.Max, float64(length/apart))
		if marks == nil {
			break
		}
		if level && widestMark(marks)+8 > length/vg.Length(len(marks)-1) {
			continue
		}
		a.Min, a.Max, a.Tick.Marker = marks[0].Value, marks[len(marks)-1].Value, marks
		return
	}
	// Closer together than numbers are, or too long for more than the ends.
	a.Tick.Marker = plot.ConstantTicks{
		{Value: a.Min, Label: strconv.FormatFloat(a.Min, 'g', -1, 64)},
		{Value: a.Max, Label: strconv.FormatFloat(a.Max, 'g', -1, 64)},
	}
}

// roundMarks are about n steps that cover a range; nil where there are none.
func roundMarks(low, high, n float64) plot.ConstantTicks {
	step := niceStep((high - low) / n)
	first, last := math.Floor(low/step+1e-9), math.Ceil(high/step-1e-9)
	if !(step > 0) || !(last-first < 100) || first+1 == first {
		return nil
	}
	var marks plot.ConstantTicks
	for k := range int(last-first) + 1 {
		value := (first + float64(k)) * step
		marks = append(marks, plot.Tick{Value: value, Label: number(value, step)})
	}
	return marks
}

// niceStep is the smallest of 1, 2 or 5 times a power of ten that is not below
// the rough step.
func niceStep(rough float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, k := range []float64{1, 2, 5} {
		if k*power >= rough {
			return k * power
		}
	}
	return 10 * power
}

func widestMark(marks plot.ConstantTicks) vg.Length {
	most := vg.Length(0)
	for _, m := range marks {
		most = max(most, textStyle(tickSize).Width(m.Label))
	}
	return most
}

// number writes a tick's value with the digits that its step has, with an
// exponent where that is shorter than a long row of digits.
func number(value, step float64) string {
	if math.Abs(value) < step/2 {
		return "0"
	}
	digits := -int(math.Floor(math.Log10(step) + 1e-9))
	exponent := int(math.Floor(math.Log10(math.Abs(value)) + 1e-9))
	short := strconv.FormatFloat(value, 'e', max(0, digits+exponent), 64)
	if digits > 15 || exponent > 15 {
		return short
	}
	if plain := strconv.FormatFloat(value, 'f', max(0, digits), 64); len(plain) <= max(7, len(short)) {
		return plain
	}
	return short
}
