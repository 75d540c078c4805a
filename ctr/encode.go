package ctr

import (
	"maps"
	"slices"
	"strings"
)

// MeanEncoding replaces a category by its click rate in the training data.
type MeanEncoding struct {
	// Rates has the categories with at least one click and at least one row
	// without. The others are left out: a rate of 0 or 1 says more about a
	// small number of rows than about the category.
	Rates map[string]float64 `json:"rates"`
	// Mean stands for every other category, also for those never seen: the
	// mean of Rates, each category counted once. Where Rates is empty it is
	// the click rate of all rows.
	Mean float64 `json:"mean"`
}

// Value encodes one category.
func (e MeanEncoding) Value(category string) float64 {
	if rate, ok := e.Rates[category]; ok {
		return rate
	}
	return e.Mean
}

// MeanCounter counts rows and clicks per category, to make a MeanEncoding. The
// zero value is ready for use.
type MeanCounter struct {
	seen map[string]*tally
	all  tally
}

type tally struct{ rows, clicks int }

// Add counts one row.
func (c *MeanCounter) Add(category string, clicked bool) {
	t := c.seen[category]
	if t == nil {
		if c.seen == nil {
			c.seen = make(map[string]*tally)
		}
		t = new(tally)
		// A clone, since a category is part of its whole line of text.
		c.seen[strings.Clone(category)] = t
	}
	t.add(clicked)
	c.all.add(clicked)
}

func (t *tally) add(clicked bool) {
	t.rows++
	if clicked {
		t.clicks++
	}
}

func (t *tally) rate() float64 { return float64(t.clicks) / float64(max(t.rows, 1)) }

// Encoding gives the encoding of what has been counted.
func (c *MeanCounter) Encoding() MeanEncoding {
	e := MeanEncoding{Rates: make(map[string]float64), Mean: c.all.rate()}
	var sum float64
	// In a fixed order: the sum of floats depends on it.
	for _, category := range slices.Sorted(maps.Keys(c.seen)) {
		t := c.seen[category]
		if t.clicks > 0 && t.clicks < t.rows {
			e.Rates[category] = t.rate()
			sum += t.rate()
		}
	}
	if len(e.Rates) > 0 {
		e.Mean = sum / float64(len(e.Rates))
	}
	return e
}
