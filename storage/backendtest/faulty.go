package backendtest

import (
	"context"
	"io"
	"iter"
	"sync"

	"ctrx/storage"
)

// Op names a method of storage.Backend.
type Op string

// The methods.
const (
	Stat   Op = "stat"
	Get    Op = "get"
	Put    Op = "put"
	List   Op = "list"
	Delete Op = "delete"
)

// Fault says how a call goes wrong. The zero value lets it pass.
type Fault struct {
	Err    error // the call fails with it
	After  int64 // Get, Put, List: first so many bytes or objects pass
	Lost   bool  // Put, Delete: the work is done and only the answer is lost
	Hang   bool  // the call waits until its context ends
	Damage bool  // Get: the first byte arrives with a bit turned
}

// Faulty is a Backend whose calls fail as Plan says. It stands for a network
// and a server on a bad day; it keeps to the contract in what it stores.
type Faulty struct {
	storage.Backend
	// Plan is asked before each call. n counts the calls of op for key from 1.
	Plan func(op Op, key string, n int) Fault

	mu    sync.Mutex
	calls map[[2]string]int
}

// Calls gives how many calls of op there were for all keys.
func (f *Faulty) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for k, c := range f.calls {
		if k[0] == string(op) {
			n += c
		}
	}
	return n
}

func (f *Faulty) fault(ctx context.Context, op Op, key string) (Fault, error) {
	f.mu.Lock()
	if f.calls == nil {
		f.calls = map[[2]string]int{}
	}
	f.calls[[2]string{string(op), key}]++
	n := f.calls[[2]string{string(op), key}]
	f.mu.Unlock()
	var fault Fault
	if f.Plan != nil {
		fault = f.Plan(op, key, n)
	}
	if fault.Hang {
		<-ctx.Done()
		return fault, context.Cause(ctx)
	}
	return fault, nil
}

// Stat implements storage.Backend.
func (f *Faulty) Stat(ctx context.Context, key string) (int64, error) {
	fault, err := f.fault(ctx, Stat, key)
	if err == nil {
		err = fault.Err
	}
	if err != nil {
		return 0, err
	}
	return f.Backend.Stat(ctx, key)
}

// Get implements storage.Backend.
func (f *Faulty) Get(ctx context.Context, key string, w io.Writer) error {
	fault, err := f.fault(ctx, Get, key)
	if err != nil {
		return err
	}
	if fault.Damage {
		w = &damager{w: w}
	}
	if fault.Err != nil {
		w = &limited{w: w, left: fault.After, err: fault.Err}
		if fault.After == 0 {
			return fault.Err
		}
	}
	if err := f.Backend.Get(ctx, key, w); err != nil {
		return err
	}
	return fault.Err
}

// Put implements storage.Backend.
func (f *Faulty) Put(ctx context.Context, key string, r io.ReadSeeker, size int64) error {
	fault, err := f.fault(ctx, Put, key)
	if err != nil {
		return err
	}
	if fault.Err != nil && !fault.Lost {
		io.CopyN(io.Discard, r, fault.After)
		return fault.Err
	}
	if err := f.Backend.Put(ctx, key, r, size); err != nil {
		return err
	}
	return fault.Err
}

// List implements storage.Backend.
func (f *Faulty) List(ctx context.Context, prefix string) iter.Seq2[storage.Object, error] {
	return func(yield func(storage.Object, error) bool) {
		fault, err := f.fault(ctx, List, prefix)
		if err != nil {
			yield(storage.Object{}, err)
			return
		}
		n := int64(0)
		for o, err := range f.Backend.List(ctx, prefix) {
			if fault.Err != nil && n >= fault.After {
				break
			}
			n++
			if !yield(o, err) {
				return
			}
		}
		if fault.Err != nil {
			yield(storage.Object{}, fault.Err)
		}
	}
}

// Delete implements storage.Backend.
func (f *Faulty) Delete(ctx context.Context, key string) error {
	fault, err := f.fault(ctx, Delete, key)
	if err != nil {
		return err
	}
	if fault.Err != nil && !fault.Lost {
		return fault.Err
	}
	if err := f.Backend.Delete(ctx, key); err != nil {
		return err
	}
	return fault.Err
}

// Flush implements storage.Flusher where the wrapped Backend does.
func (f *Faulty) Flush(ctx context.Context) error {
	if inner, ok := f.Backend.(storage.Flusher); ok {
		return inner.Flush(ctx)
	}
	return nil
}

// limited fails after so many bytes.
type limited struct {
	w    io.Writer
	left int64
	err  error
}

func (l *limited) Write(p []byte) (int, error) {
	if int64(len(p)) > l.left {
		n, err := l.w.Write(p[:l.left])
		l.left -= int64(n)
		if err == nil {
			err = l.err
		}
		return n, err
	}
	n, err := l.w.Write(p)
	l.left -= int64(n)
	return n, err
}

// damager turns a bit of the first byte.
type damager struct {
	w    io.Writer
	done bool
}

func (d *damager) Write(p []byte) (int, error) {
	if !d.done && len(p) > 0 {
		d.done = true
		p = append([]byte{p[0] ^ 1}, p[1:]...)
	}
	return d.w.Write(p)
}
