package storage

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"

	"ctrx/internal/fsx"
)

// pipeBlocks is the number of blocks that may wait for being hashed.
const pipeBlocks = 4

// piece is a part of a stream on its way from the copying to the hashing.
type piece struct {
	block *[]byte
	n     int
}

// CopyTo copies r to a file that will be flushed, and gives the digest and the
// length in bytes of what was copied.
func (h *Hasher) CopyTo(ctx context.Context, t *fsx.Temp, r io.Reader) (Digest, int64, error) {
	return h.copy(ctx, fsx.NewFlushing(t.File), r, newMeter(nil, "", "", 0))
}

// Sum gives the digest of what r holds.
func (h *Hasher) Sum(ctx context.Context, r io.Reader) (Digest, error) {
	d, _, err := h.read(ctx, r, newMeter(nil, "", "", 0))
	return d, err
}

// copy copies r to w and gives the digest and length of what was copied. What is
// larger than a block is hashed beside the copying.
func (h *Hasher) copy(ctx context.Context, w io.Writer, r io.Reader, m *meter) (Digest, int64, error) {
	block := h.pool.Get().(*[]byte)
	n, err := io.ReadFull(r, *block)
	if err == nil { // a whole block: there may be more
		return h.copyLarge(ctx, w, io.MultiReader(bytes.NewReader(*block), r), m)
	}
	defer h.pool.Put(block)
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", int64(n), err
	}
	if _, err := w.Write((*block)[:n]); err != nil {
		return "", int64(n), fsx.FullDisk(err)
	}
	m.add(int64(n))
	data := (*block)[:n]
	if h.alg == MD5Dos2Unix {
		data = dos2unix(data)
	}
	return digestBytes(data), int64(n), nil
}

func (h *Hasher) copyLarge(ctx context.Context, w io.Writer, r io.Reader, m *meter) (Digest, int64, error) {
	pieces := make(chan piece, pipeBlocks)
	digest := make(chan Digest)
	go func() {
		sum := md5.New()
		for p := range pieces {
			data := (*p.block)[:p.n]
			if h.alg == MD5Dos2Unix {
				data = dos2unix(data)
			}
			sum.Write(data)
			h.pool.Put(p.block)
		}
		digest <- Digest(hex.EncodeToString(sum.Sum(nil)))
	}()
	total, err := h.copyPieces(ctx, w, r, pieces, m)
	close(pieces)
	d := <-digest
	if err != nil {
		return "", total, fsx.FullDisk(err)
	}
	return d, total, nil
}

func (h *Hasher) copyPieces(ctx context.Context, w io.Writer, r io.Reader, to chan<- piece, m *meter) (int64, error) {
	var total int64
	for {
		if ctx.Err() != nil {
			return total, context.Cause(ctx)
		}
		block := h.pool.Get().(*[]byte)
		n, err := io.ReadFull(r, *block)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if end {
			err = nil
		}
		if err == nil {
			_, err = w.Write((*block)[:n])
		}
		total += int64(n)
		m.add(int64(n))
		to <- piece{block, n}
		if end || err != nil {
			return total, err
		}
	}
}
