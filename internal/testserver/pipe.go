package testserver

import (
	"io"
	"sync"
)

// pipe copies both ways until both sides ended.
func pipe(a, b io.ReadWriteCloser) {
	var both sync.WaitGroup
	both.Go(func() { io.Copy(a, b); a.Close() })
	both.Go(func() { io.Copy(b, a); b.Close() })
	both.Wait()
}
