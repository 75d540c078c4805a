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

// sum computes a digest of what is written to it. Large pieces are hashed while
// the writer goes on, one at a time.
type sum struct {
	alg Algorithm
	md5 interface {
		io.Writer
		Sum([]byte) []byte
	}
	block []byte // MD5Dos2Unix: not yet a whole block
	n     int64
	pool  *sync.Pool    // of *[]byte, hashBlock long
	busy  chan struct{} // closed when the last piece is hashed; nil: none is
}

func (c *Cache) newSum() *sum { return &sum{alg: c.alg, md5: md5.New(), pool: c.hasher.pool} }

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
			block := s.pool.Get().(*[]byte)
			k := copy(*block, p)
			p = p[k:]
			s.wait()
			busy := make(chan struct{})
			s.busy = busy
			go func() {
				s.md5.Write((*block)[:k])
				s.pool.Put(block)
				close(busy)
			}()
		}
	}
	return n, nil
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
