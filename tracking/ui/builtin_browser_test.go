package ui_test

import (
	"context"
	"encoding/json"
)

type ctx = context.Context

// jsText is a text as JavaScript writes it.
func jsText(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
