package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// A heap of a few megabytes is not worth collecting: nearly every command ends
// before it is larger. One with more than smallHeap bytes in use is collected as
// always when it has doubled.
const (
	smallHeap        = 16 << 20
	smallHeapPercent = 400
	usualPercent     = 100
)

// collectLater lets the garbage collector wait while the heap is small, unless
// GOGC says something.
func collectLater() {
	if was := debug.SetGCPercent(smallHeapPercent); was != usualPercent {
		debug.SetGCPercent(was)
		return
	}
	afterCollection(func() (again bool) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		if metrics.Read(live); live[0].Value.Uint64() <= smallHeap {
			return true
		}
		debug.SetGCPercent(usualPercent)
		return false
	})
}

// afterCollection calls f after the next collection, and after each until it
// gives false.
func afterCollection(f func() (again bool)) {
	type sentinel struct{ _ [64]byte } // too large to share its memory with others
	runtime.SetFinalizer(new(sentinel), func(*sentinel) {
		if f() {
			afterCollection(f)
		}
	})
}
