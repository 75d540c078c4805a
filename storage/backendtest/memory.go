package backendtest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"

	"ctrx/storage"
)

// Memory is a Backend that keeps objects in memory, for tests.
type Memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory { return &Memory{objects: map[string][]byte{}} }

// Keys lists what is stored, sorted.
func (b *Memory) Keys() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for k := range b.objects {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Set stores content without looking at it: what a broken server might hold.
func (b *Memory) Set(key string, content []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = content
}

func (b *Memory) find(ctx context.Context, key string) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := storage.CheckKey(key); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	data, ok := b.objects[key]
	if !ok {
		return nil, fmt.Errorf("object %s: %w", key, fs.ErrNotExist)
	}
	return data, nil
}

// Stat implements storage.Backend.
func (b *Memory) Stat(ctx context.Context, key string) (int64, error) {
	data, err := b.find(ctx, key)
	return int64(len(data)), err
}

// Get implements storage.Backend.
func (b *Memory) Get(ctx context.Context, key string, w io.Writer) error {
	data, err := b.find(ctx, key)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, bytes.NewReader(data))
	return err
}

// Put implements storage.Backend.
func (b *Memory) Put(ctx context.Context, key string, r io.ReadSeeker, size int64) error {
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("put %s: %w", key, err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if int64(len(data)) != size {
		return fmt.Errorf("put %s: %d bytes where %d were expected", key, len(data), size)
	}
	sum := md5.Sum(data)
	if err := storage.CheckContent(key, storage.Digest(hex.EncodeToString(sum[:]))); err != nil {
		return err
	}
	b.Set(key, data)
	return nil
}

// List implements storage.Backend.
func (b *Memory) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		for _, key := range b.Keys() {
			if ctx.Err() != nil {
				yield(storage.Object{}, context.Cause(ctx))
				return
			}
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			b.mu.Lock()
			data, ok := b.objects[key]
			b.mu.Unlock()
			if ok && !yield(storage.Object{Key: key, Size: int64(len(data))}, nil) {
				return
			}
		}
	}
}

// Delete implements storage.Backend.
func (b *Memory) Delete(ctx context.Context, key string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.objects, key)
	return nil
}
