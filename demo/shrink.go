package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"slices"
)

// shrink makes a PNG of few colours small: it keeps the 256 that the picture has most of,
// and takes the nearest of them for each other one.
func shrink(b []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	bounds := from.Bounds()
	count := map[color.Color]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[from.At(x, y)]++
		}
	}
	var most color.Palette
	for c := range count {
		most = append(most, c)
	}
	slices.SortFunc(most, func(a, b color.Color) int { return count[b] - count[a] })
	most = most[:min(256, len(most))]
	nearest := map[color.Color]uint8{}
	for c := range count {
		nearest[c] = uint8(most.Index(c))
	}
	to := image.NewPaletted(bounds, most)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			to.SetColorIndex(x, y, nearest[from.At(x, y)])
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}
