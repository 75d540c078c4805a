package dvcfile

import (
	"fmt"
	"testing"

	"ctrx/storage"
)

// largeLock has n stages of a common size.
func largeLock(b *testing.B, n int) *Lock {
	b.Helper()
	l, err := ParseLock("dvc.lock", nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		d := storage.Digest(fmt.Sprintf("%032x", i))
		l.SetStage(fmt.Sprintf("train@%d", i), &StageLock{
			Cmd:    fmt.Sprintf("python train.py --stage %d --lr 0.001 --data data/train-%d.csv --out models/%d.pkl", i, i, i),
			Deps:   []Entry{NewEntry("data/train.csv", d, storage.Meta{Size: 1}), NewEntry("train.py", d, storage.Meta{Size: 2})},
			Params: NewMap("params.yaml", NewMap("lr", Float(0.001), "train.epochs", NewInt(10))),
			Outs:   []Entry{NewEntry(fmt.Sprintf("models/%d.pkl", i), d, storage.Meta{Size: 3})},
		})
	}
	return l
}

func BenchmarkParseLock(b *testing.B) {
	data := largeLock(b, 10000).Encode()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := ParseLock("dvc.lock", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadLock(b *testing.B) {
	data := largeLock(b, 10000).Encode()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := ReadLock("dvc.lock", data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSetStage is what each finished stage of a large pipeline costs.
func BenchmarkSetStage(b *testing.B) {
	l := largeLock(b, 10000)
	l.Encode()
	s, _ := l.Stage("train@1")
	for b.Loop() {
		l.SetStage("train@5000", s)
		l.Encode()
	}
}
