package dvcfile

import (
	"strings"
	"testing"
)

func TestReadPlotData(t *testing.T) {
	tests := []struct {
		file, text string
		noHeader   bool
		want       string
	}{
		{file: "a.csv", text: "a,b\n1,2\n\n3,\"x\ny\"\n", want: `[{"a": "1", "b": "2"}, {"a": "3", "b": "x\ny"}]`},
		{file: "a.csv", text: "a,b\r\n1,2\r\n", want: `[{"a": "1", "b": "2"}]`},
		{file: "a.tsv", text: "a b\tc\n1\t2,5\n", want: `[{"a b": "1", "c": "2,5"}]`},
		{file: "a.csv", text: "a,b\n1\n1,2,3\n", want: `[{"a": "1", "b": null}, {"a": "1", "b": "2", "null": ["3"]}]`},
		{file: "a.csv", text: "1,2\n3,4\n", noHeader: true, want: `[{"0": "1", "1": "2"}, {"0": "3", "1": "4"}]`},
		{file: "a.tsv", text: "1\t2\n", noHeader: true, want: `[{"0": "1", "1": "2"}]`},
		{file: "a.csv", text: "", want: `[]`},
		{file: "a.json", text: `[{"a": 1.0}]`, want: `[{"a": 1.0}]`},
		{file: "a.yml", text: "- {a: 017}", want: `[{"a": 17}]`},
	}
	for _, tt := range tests {
		v, err := ReadPlotData(tt.file, []byte(tt.text), !tt.noHeader)
		if got := string(JSON(v)); err != nil || got != tt.want {
			t.Errorf("%s %q: %s (%v), want %s", tt.file, tt.text, got, err, tt.want)
		}
	}
	for file, text := range map[string]string{"a.txt": "1", "a.json": "{", "a": "1"} {
		if v, err := ReadPlotData(file, []byte(text), true); err == nil {
			t.Errorf("%s: %s and no error", file, JSON(v))
		} else if file == "a.txt" && !strings.Contains(err.Error(), "file type error") {
			t.Error(err)
		}
	}
}
