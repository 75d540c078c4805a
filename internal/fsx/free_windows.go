package fsx

import (
	"fmt"

	"golang.org/x/sys/windows"
)

func free(dir string) (Space, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return Space{}, err
	}
	var bytes uint64
	if err := windows.GetDiskFreeSpaceEx(name, &bytes, nil, nil); err != nil {
		return Space{}, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return Space{Bytes: int64(bytes), Files: -1, Block: 4096}, nil
}
