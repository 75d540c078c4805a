package backendtest

import (
	"testing"

	"ctrx/storage"
)

func TestMemory(t *testing.T) {
	Run(t, func(*testing.T) storage.Backend { return NewMemory() })
}

func TestFaultyWithoutPlan(t *testing.T) {
	Run(t, func(*testing.T) storage.Backend { return &Faulty{Backend: NewMemory()} })
}
