package storage

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"sync"
)

// asyncFrom is the number of bytes from which on it pays to hash beside what
// the writer does next.
const asyncFrom = 64 << 10

// asyncBlocks is how many blocks may wait for being hashed.
const asyncBlocks = 8

// sum computes a digest of what is written to it. Large pieces are hashed while
// the writer goes on.
type sum struct {
	alg Algorithm
	md5 interface {
		io.Writer
		Sum([]byte) []byte
	}
	block []byte // MD5Dos2Unix: not yet a whole block
	n     int64
	pool  *sync.Pool    // of *[]byte, hashBlock long
	busy  chan struct{} // closed when all so far is hashed; nil: it is
	room  chan struct{} // holds one for each block that waits
}

func (c *Cache) newSum() *sum {
	return &sum{alg: c.alg, md5: md5.New(), pool: c.hasher.pool, room: make(chan struct{}, asyncBlocks)}
}

// Write takes content. It never fails.
func (s *sum) Write(p []byte) (int, error) {
	n := len(p)
	s.n += int64(n)
	switch {
	case s.alg == MD5Dos2Unix:
		s.writeBlocks(p)
	case n < asyncFrom:
		s.wait()
		s.md5.Write(p)
	default:
		for len(p) > 0 {
			s.room <- struct{}{}
			block := s.pool.Get().(*[]byte)
			k := copy(*block, p)
			p = p[k:]
			s.later(block, k)
		}
	}
	return n, nil
}

// now is Write, but it does not copy what it takes: it returns when that is hashed.
func (s *sum) now(p []byte) {
	s.wait()
	s.n += int64(len(p))
	if s.alg == MD5Dos2Unix {
		s.writeBlocks(p)
	} else {
		s.md5.Write(p)
	}
}

// later hashes n bytes of a block after all that came before.
func (s *sum) later(block *[]byte, n int) {
	before, done := s.busy, make(chan struct{})
	s.busy = done
	go func() {
		if before != nil {
			<-before
		}
		s.md5.Write((*block)[:n])
		s.pool.Put(block)
		<-s.room
		close(done)
	}()
}

func (s *sum) wait() {
	if s.busy != nil {
		<-s.busy
		s.busy = nil
	}
}

func (s *sum) writeBlocks(p []byte) {
	for len(p) > 0 {
		k := min(hashBlock-len(s.block), len(p))
		s.block = append(s.block, p[:k]...)
		p = p[k:]
		if len(s.block) == hashBlock {
			s.md5.Write(dos2unix(s.block))
			s.block = s.block[:0]
		}
	}
}

// soFar gives the digest of what was written until now; "" where more has to be
// known for that.
func (s *sum) soFar() Digest {
	if s.alg == MD5Dos2Unix {
		return ""
	}
	s.wait()
	return Digest(hex.EncodeToString(s.md5.Sum(nil)))
}

func (s *sum) digest() Digest {
	s.wait()
	s.md5.Write(dos2unix(s.block))
	s.block = nil
	return Digest(hex.EncodeToString(s.md5.Sum(nil)))
}

func digestBytes(data []byte) Digest {
	sum := md5.Sum(data)
	return Digest(hex.EncodeToString(sum[:]))
}
