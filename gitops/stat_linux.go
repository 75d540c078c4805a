package gitops

import (
	"syscall"
	"time"
)

// changeTime is when the file's inode was changed last.
func changeTime(st *syscall.Stat_t) time.Time { return time.Unix(st.Ctim.Unix()) }
