//go:build unix

package usage

import "golang.org/x/sys/unix"

func ownGroup() int { return unix.Getpgrp() }
