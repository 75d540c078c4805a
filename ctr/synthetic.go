package ctr

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sort"
	"strconv"
	"time"
)

// SyntheticRows is a Source of n made-up rows in Avazu's layout, sorted by hour
// over ten days. It stands in for the competition's file, which may not be
// passed on.
//
// A few sites, apps, creatives and devices make most of the traffic and many
// make a little (Zipf's law); traffic follows the time of day; a row comes from
// a web site or from an app, and the other side then has one fixed value; most
// devices have no id of their own. What is known about a row multiplies the
// odds of a click, so a model can find it out; about 17 of 100 rows are clicked.
//
// The same n and seed give the same rows on every machine: the arithmetic
// keeps to operations that IEEE 754 rounds in one way only, which rules out
// exp and log, and products are rounded before they are added.
func SyntheticRows(n int, seed uint64) Source {
	return func(ctx context.Context) iter.Seq2[Row, error] {
		return func(yield func(Row, error) bool) {
			if n < 1 {
				yield(Row{}, fmt.Errorf("cannot make %d rows: at least 1 is needed", n))
				return
			}
			w := newWorld(n, seed)
			random := draws{rand.NewPCG(seed, streamRows)}
			for i := range n {
				if i%4096 == 0 && ctx.Err() != nil {
					yield(Row{}, ctx.Err())
					return
				}
				if !yield(w.row(i, n, random), nil) {
					return
				}
			}
		}
	}
}

// world is what the rows are drawn from.
type world struct {
	seed      uint64
	hours     []float64 // running sums of the traffic per hour
	noSite    place     // the site of a row that comes from an app
	noApp     place     // the app of a row that comes from a site
	sites     population[place]
	apps      population[place]
	models    population[string]
	creatives population[creative]
	users     []float64 // running sums of the traffic per user
	noDevice  string    // the id of a device that has none
}

// place is a web site or an app.
type place struct{ id, domain, category string }

// creative is an advertisement with the codes that belong to it.
type creative struct {
	c14, width, height, c17, c18, c19, c20, c21 int
}

// population is a choice of items, some more frequent than others, each with a
// factor on the odds of a click. The factors are 1 in the weighted mean, so
// that the click rate hardly depends on the seed.
type population[T any] struct {
	items []T
	odds  []float64
	sums  []float64 // running sums of the frequencies
}

const (
	days       = 10
	baseOdds   = 0.278 // chosen so that 17 of 100 rows are clicked
	fromSite   = 0.64  // share of the rows that come from web sites
	siteSpread = 9.0   // how much the factors differ, see spread
	appSpread  = 9.0
	adSpread   = 7.0
	modelRange = 2.5
)

func newWorld(n int, seed uint64) *world {
	random := draws{rand.NewPCG(seed, streamWorld)}
	w := &world{
		seed:     seed,
		noSite:   place{random.hex(), random.hex(), random.hex()},
		noApp:    place{random.hex(), random.hex(), random.hex()},
		noDevice: random.hex(),
		users:    zipf(n/2+1, 40),
	}
	var total float64
	for range days {
		day := 0.85 + float64(0.3*random.float())
		for h := range 24 {
			total += float64(day * hourOfDay()[h].traffic)
			w.hours = append(w.hours, total)
		}
	}
	// Fewer places, devices and creatives in fewer rows, as in a real sample.
	w.sites = places(random, min(n/40+5, 2000), siteSpread)
	w.apps = places(random, min(n/50+5, 3000), appSpread)
	w.models = populate(random, min(n/20+5, 5000), 12, modelRange, func(int) string { return random.hex() })
	w.creatives = populate(random, min(n/80+5, 2000), 15, adSpread, func(int) creative { return newCreative(random) })
	return w
}

// hour is a time of day: the share of the traffic, and the factor on the odds.
type hour struct{ traffic, odds float64 }

// hourOfDay follows the daily course of such traffic in UTC: most at noon, with
// a lower click rate than at night.
func hourOfDay() [24]hour {
	return [24]hour{
		{2.1, 1.25}, {2.4, 1.28}, {3.1, 1.15}, {3.6, 1.10}, {4.8, 0.95}, {5.0, 0.96},
		{4.6, 0.98}, {4.7, 1.05}, {5.3, 1.00}, {6.0, 0.90}, {5.7, 0.88}, {5.5, 0.95},
		{5.7, 1.00}, {6.1, 1.02}, {5.5, 1.08}, {5.4, 1.10}, {5.0, 1.06}, {4.7, 0.95},
		{3.5, 0.88}, {2.8, 0.85}, {2.3, 0.90}, {2.2, 0.98}, {2.0, 1.05}, {1.9, 1.15},
	}
}

func places(random draws, n int, factor float64) population[place] {
	categories := make([]string, 18)
	for i := range categories {
		categories[i] = random.hex()
	}
	domains := make([]string, n*2/3+1) // some places share a domain
	for i := range domains {
		domains[i] = random.hex()
	}
	share := zipf(len(categories), 1)
	return populate(random, n, 3, factor, func(i int) place {
		return place{id: random.hex(), domain: domains[i%len(domains)], category: categories[random.pick(share)]}
	})
}

func newCreative(random draws) creative {
	c := creative{c14: 375 + random.below(23700), width: 320, height: 50}
	switch u := random.float(); {
	case u < 0.10:
		c.width, c.height = 300, 250
	case u < 0.12:
		c.width, c.height = 216, 36
	case u < 0.13:
		c.width, c.height = 728, 90
	}
	c.c17 = 112 + c.c14/9
	c.c18 = random.below(4)
	c.c19 = []int{35, 39, 167, 161, 47, 1327, 297, 801}[random.below(8)]
	c.c20 = -1
	if random.float() < 0.53 {
		c.c20 = 100000 + random.below(170)
	}
	c.c21 = []int{23, 79, 48, 71, 61, 157, 32, 33, 52, 42, 51, 15, 117, 229}[random.below(14)]
	return c
}

// populate makes n items whose frequencies follow Zipf's law.
func populate[T any](random draws, n int, flat, factor float64, item func(int) T) population[T] {
	p := population[T]{sums: zipf(n, flat)}
	var mean, before float64
	for i := range n {
		p.items = append(p.items, item(i))
		p.odds = append(p.odds, random.spread(factor))
		mean += float64(p.odds[i] * (p.sums[i] - before))
		before = p.sums[i]
	}
	for i := range p.odds {
		p.odds[i] *= before / mean
	}
	return p
}

func (p *population[T]) draw(random draws) (T, float64) {
	i := random.pick(p.sums)
	return p.items[i], p.odds[i]
}

// zipf gives the running sums of 1/(rank+flat): the larger flat is, the less
// the first ranks stand out.
func zipf(n int, flat float64) []float64 {
	sums := make([]float64, n)
	var total float64
	for i := range sums {
		total += 1 / (float64(i) + flat)
		sums[i] = total
	}
	return sums
}

// pick draws an index with the probabilities that the running sums stand for.
func (d draws) pick(sums []float64) int {
	u := d.float() * sums[len(sums)-1]
	return min(sort.Search(len(sums), func(i int) bool { return sums[i] > u }), len(sums)-1)
}

// hex is an id as Avazu's hashed columns have them.
func (d draws) hex() string { return fmt.Sprintf("%08x", uint32(d.Uint64()>>32)) }

// spread is a random factor between 1/(1+a) and 1+a, as often above 1 as below.
func (d draws) spread(a float64) float64 {
	up := 1 + float64(a*d.float())
	down := 1 + float64(a*d.float())
	return up / down
}

// row draws row i of n.
func (w *world) row(i, n int, random draws) Row {
	var row Row
	v := &row.Values
	odds := baseOdds * w.when(&row, i, n)

	app, site := w.noApp, w.noSite
	var factor float64
	if random.float() < fromSite {
		site, factor = w.sites.draw(random)
		odds *= factor * 1.15
	} else {
		app, factor = w.apps.draw(random)
		odds *= factor * 0.75
	}
	v[SiteID], v[SiteDomain], v[SiteCategory] = site.id, site.domain, site.category
	v[AppID], v[AppDomain], v[AppCategory] = app.id, app.domain, app.category

	ad, factor := w.creatives.draw(random)
	odds *= factor
	if ad.height == 250 {
		odds *= 1.9
	}
	for i, code := range [...]int{ad.c14, ad.width, ad.height, ad.c17, ad.c18, ad.c19, ad.c20, ad.c21} {
		v[int(C14)+i] = strconv.Itoa(code)
	}

	v[BannerPos] = "0"
	switch u := random.float(); {
	case u < 0.27:
		v[BannerPos] = "1"
		odds *= 1.3
	case u < 0.274:
		v[BannerPos] = strconv.Itoa(2 + random.below(6))
	}
	odds *= w.device(v, random)

	v[ID] = strconv.FormatUint(random.Uint64(), 10)
	v[Click] = "0"
	if random.float() < odds/(1+odds) {
		row.Clicked = true
		v[Click] = "1"
	}
	return row
}

// when sets the hour of row i of n, and gives its factor on the odds.
func (w *world) when(row *Row, i, n int) float64 {
	u := (float64(i) + 0.5) / float64(n) * w.hours[len(w.hours)-1]
	at := min(sort.SearchFloat64s(w.hours, u), len(w.hours)-1)
	row.Time = time.Date(2014, time.October, 21, at, 0, 0, 0, time.UTC)
	row.Values[Hour] = row.Time.Format("06010215")
	return hourOfDay()[at%24].odds
}

// device sets the columns of the device and of C1, which goes with it, and
// gives the factor on the odds. A user keeps the same device: it comes from the
// user's own sequence of numbers.
func (w *world) device(v *[NumColumns]string, random draws) float64 {
	rank := random.pick(w.users)
	user := draws{rand.NewPCG(w.seed, streamUsers+uint64(rank))}
	v[DeviceIP] = user.hex()
	v[DeviceID] = w.noDevice
	if user.float() < 0.18 {
		v[DeviceID] = user.hex()
	}
	model, odds := w.models.draw(user)
	v[DeviceModel] = model
	if rank < 300 { // addresses that many devices share are clicked less
		odds *= 0.7
	}
	v[DeviceType], v[C1] = "1", "1005"
	switch u := user.float(); {
	case u < 0.055:
		v[DeviceType], v[C1] = "0", "1002"
		odds *= 1.35
	case u < 0.075:
		v[DeviceType], v[C1] = "4", "1010"
		odds *= 0.6
	case u < 0.078:
		v[DeviceType], v[C1] = "5", "1012"
	}
	v[DeviceConnType] = "0"
	switch u := random.float(); {
	case u < 0.08:
		v[DeviceConnType] = "2"
		odds *= 0.75
	case u < 0.14:
		v[DeviceConnType] = "3"
		odds *= 0.45
	case u < 0.142:
		v[DeviceConnType] = "5"
		odds *= 0.4
	}
	return odds
}
