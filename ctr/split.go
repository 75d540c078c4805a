package ctr

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
)

// SplitOptions says how a table is divided.
type SplitOptions struct {
	TestSize float64 // share of the rows that is held out, between 0 and 1
	Sample   float64 // share of the rows that is used at all, above 0 and up to 1
	Seed     uint64
}

// SplitCounts tells how many rows went where.
type SplitCounts struct {
	Train, Test             int
	TrainClicks, TestClicks int
}

// Split deals the rows of src out to two CSV tables. Rows keep their order and
// their text. Both tables get the same share of clicks, and both get at least
// one row with and one without a click, since neither a model nor a metric can
// be made of one class.
//
// The table is read twice, first to check and count it, so that it may be
// larger than memory and so that nothing is written of a broken one.
func Split(ctx context.Context, src Source, opt SplitOptions, train, test io.Writer) (SplitCounts, error) {
	switch {
	case !(opt.TestSize > 0 && opt.TestSize < 1):
		return SplitCounts{}, fmt.Errorf("test size %v is not between 0 and 1", opt.TestSize)
	case !(opt.Sample > 0 && opt.Sample <= 1):
		return SplitCounts{}, fmt.Errorf("sample %v is not above 0 and up to 1", opt.Sample)
	}
	var all [2]int // rows without and with a click
	sampled := sampler(opt)
	for row, err := range src(ctx) {
		if err != nil {
			return SplitCounts{}, err
		}
		if sampled() {
			all[class(row)]++
		}
	}
	deal, err := newDealer(opt, all)
	if err != nil {
		return SplitCounts{}, err
	}

	out := [2]*csv.Writer{csv.NewWriter(train), csv.NewWriter(test)}
	for _, w := range out {
		w.Write(ColumnNames()) // an error stays in the writer until Flush
	}
	var counts [2][2]int // table, class
	sampled = sampler(opt)
	for row, err := range src(ctx) {
		if err != nil {
			return SplitCounts{}, err
		}
		if !sampled() {
			continue
		}
		to := 0
		if deal.test(class(row)) {
			to = 1
		}
		counts[to][class(row)]++
		out[to].Write(row.Values[:])
	}
	for _, w := range out {
		w.Flush()
		if err := w.Error(); err != nil {
			return SplitCounts{}, fmt.Errorf("write split: %w", err)
		}
	}
	return SplitCounts{
		Train: counts[0][0] + counts[0][1], TrainClicks: counts[0][1],
		Test: counts[1][0] + counts[1][1], TestClicks: counts[1][1],
	}, nil
}

func class(r Row) int {
	if r.Clicked {
		return 1
	}
	return 0
}

// sampler decides for one row after the other whether it is used.
func sampler(opt SplitOptions) func() bool {
	random := draws{rand.NewPCG(opt.Seed, streamSample)}
	return func() bool { return opt.Sample >= 1 || random.float() < opt.Sample }
}

// dealer picks exactly the wanted number of rows of each class by selection
// sampling (Knuth, The Art of Computer Programming 2, algorithm S): the next
// row is taken with the probability wanted/left.
type dealer struct {
	random draws
	left   [2]int
	wanted [2]int
}

func newDealer(opt SplitOptions, all [2]int) (*dealer, error) {
	d := &dealer{random: draws{rand.NewPCG(opt.Seed, streamSplit)}, left: all}
	if all[0]+all[1] == 0 {
		return nil, errors.New("no rows are left after sampling: use a larger sample")
	}
	for c, n := range all {
		switch n {
		case 0:
			return nil, fmt.Errorf("no row has click %d: a model needs rows with and without a click", c)
		case 1:
			return nil, fmt.Errorf("one row only has click %d: training and test data need one each", c)
		}
		d.wanted[c] = min(max(int(math.Round(float64(n)*opt.TestSize)), 1), n-1)
	}
	return d, nil
}

func (d *dealer) test(class int) bool {
	take := d.random.float()*float64(d.left[class]) < float64(d.wanted[class])
	d.left[class]--
	if take {
		d.wanted[class]--
	}
	return take
}

// The independent sequences that one seed gives: the second half of a PCG's
// seed says what the numbers are for.
const (
	streamSample uint64 = 1 + iota
	streamSplit
	streamWorld
	streamRows
	streamUsers // the last one: users count upwards from here
)

// draws turns the numbers of a PCG into those we need. It does not use
// rand.Rand, whose methods may change their use of the source; Go promises the
// source itself to stay as it is.
type draws struct{ *rand.PCG }

// float is uniform in [0, 1), a multiple of 2^-53.
func (d draws) float() float64 { return float64(d.Uint64()>>11) / (1 << 53) }

// below is uniform in [0, n).
func (d draws) below(n int) int { return int(d.float() * float64(n)) }
