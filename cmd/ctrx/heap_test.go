package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// TestCollectLater is about the whole process, so it does not run beside others.
func TestCollectLater(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(usualPercent))
	percent := func() uint64 { // only looks: to set it would undo what is set just then
		now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(now)
		return now[0].Value.Uint64()
	}
	debug.SetGCPercent(50)
	if collectLater(); percent() != 50 {
		t.Errorf("what GOGC says became %d", percent())
	}
	debug.SetGCPercent(usualPercent)
	if collectLater(); percent() != smallHeapPercent {
		t.Errorf("at first: %d", percent())
	}
	large := make([]byte, 2*smallHeap)
	for n := 0; percent() != usualPercent; n++ {
		if n == 3000 {
			t.Fatalf("with a large heap: %d", percent())
		}
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	runtime.KeepAlive(large)
}
