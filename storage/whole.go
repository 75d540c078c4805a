package storage

import (
	"context"
	"io/fs"
	"time"

	"ctrx/internal/fsx"
)

// Large objects are hashed once. What their content is when it has been hashed is
// remembered with their fingerprint, as that of a workspace file is: an object
// that was written to since does not look the same, and is hashed again. What a
// disk loses without a trace, Check finds. An object of less than a block costs
// less to hash than to look up.

// wholeLater takes note of an object that was hashed when it was written, and
// lies under its name now. It is remembered beyond this process by finish.
func (b *batch) wholeLater(name string, info fs.FileInfo) {
	d, p := digestOf(name), fingerprintOf(info)
	if p.size < hashBlock || d.IsDir() {
		return
	}
	c := b.cache
	c.mu.Lock()
	if c.whole == nil {
		c.whole = map[Digest]fingerprint{}
	}
	c.whole[d] = p
	c.mu.Unlock()
	b.later.add(c.Path(d), d, p)
}

// knownWhole tells whether the object d, which looks like p, has been hashed and
// was not changed since.
func (c *Cache) knownWhole(d Digest, p fingerprint) bool {
	if p.size < hashBlock {
		return false
	}
	c.mu.Lock()
	print, now := c.whole[d]
	c.mu.Unlock()
	if now && print == p {
		return true
	}
	got, before := c.opts.Large.lookup(c.Path(d), c.alg, p)
	return before && got == d
}

// hashedWhole remembers that the object d, of which reading began at start, is
// whole. It looked like p before and after that.
func (c *Cache) hashedWhole(d Digest, p fingerprint, start time.Time) {
	if p.size >= hashBlock && settled(time.Unix(0, p.mtime), start) {
		c.opts.Large.record(c.Path(d), c.alg, p, d)
	}
}

// finish flushes and marks what is left, and remembers what is known of it.
func (b *batch) finish(ctx context.Context) error {
	if err := b.flush(); err != nil {
		return err
	}
	return b.later.record(ctx, b.cache.opts.Large, b.cache.alg)
}

// unchangedSince tells whether an open object still looks like p.
func unchangedSince(f interface{ Stat() (fs.FileInfo, error) }, p fingerprint) bool {
	info, err := f.Stat()
	return err == nil && printOf(fsx.StampOf(info)) == p
}
