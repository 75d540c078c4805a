package cli

import (
	"fmt"
	"slices"
	"strings"
)

// choice is a flag that takes one of some words, the first by default.
type choice struct {
	value *string
	words []string
}

func newChoice(value *string, words ...string) *choice {
	*value = words[0]
	return &choice{value, words}
}

func (c *choice) String() string { return *c.value }
func (c *choice) Type() string   { return strings.Join(c.words, "|") }

func (c *choice) Set(word string) error {
	if !slices.Contains(c.words, word) {
		return fmt.Errorf("it must be one of: %s", strings.Join(c.words, ", "))
	}
	*c.value = word
	return nil
}
