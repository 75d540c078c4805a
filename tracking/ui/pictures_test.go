package ui_test

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"ctrx/internal/testbrowser"
)

// pictures names the folder that gets the pictures of the README:
//
//	CTRX_PICTURES=$PWD/docs/pictures go test ./tracking/ui -run InBrowser
const pictures = "CTRX_PICTURES"

// picture keeps the upper part of what the tab shows, where that is wanted.
func picture(t testing.TB, tab *testbrowser.Tab, name string, height int) {
	t.Helper()
	dir := os.Getenv(pictures)
	if dir == "" {
		return
	}
	shot, err := png.Decode(bytes.NewReader(tab.Top(t, 1280, height)))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, fewColours(shot)); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 150<<10 {
		t.Errorf("the picture %s has %d bytes", name, b.Len())
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fewColours gives a picture the 256 colours that most of its pixels have; the
// others become the nearest of them. A screenshot loses nothing that one sees.
func fewColours(img image.Image) *image.Paletted {
	count := map[color.RGBA]int{}
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			count[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)]++
		}
	}
	all := make([]color.RGBA, 0, len(count))
	for c := range count {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int { return count[b] - count[a] })
	palette := color.Palette{}
	for _, c := range all[:min(256, len(all))] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(b, palette)
	index := map[color.Color]uint8{}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := img.At(x, y)
			i, ok := index[c]
			if !ok {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			out.SetColorIndex(x, y, i)
		}
	}
	return out
}
