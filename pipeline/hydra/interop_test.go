package hydra

import (
	"bytes"
	"context"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"ctrx/internal/testreq"
)

// TestAgainstHydra composes config trees made up at random with ctrx and with the
// real Hydra, through DVC, and compares the bytes, and failure with failure.
func TestAgainstHydra(t *testing.T) {
	testreq.NeedModules(t, "dvc", "hydra", "omegaconf")
	const seed, count = 20, 230
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "python3", "testdata/make_vectors.py", "random", strconv.Itoa(seed), strconv.Itoa(count))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	vs := readVectors(t, out)
	fine := 0
	for _, v := range vs {
		if v.Error == "" {
			fine++
		}
		v.check(t)
	}
	if fine < 100 || len(vs)-fine < 50 {
		t.Errorf("of %d cases %d compose: both kinds are wanted", len(vs), fine)
	}
}
