package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/k8s/config"
)

// The picture's configuration has queues that can't start a job, each for its reason.
func TestPictureConfig(t *testing.T) {
	text := pictureConfig(schedulerConfig)
	c, err := config.Parse([]byte("endpoint: http://10.0.0.1/v3\n"+text), "onejob")
	if err != nil || len(c.Queues) != 4 {
		t.Fatalf("%v:\n%s", err, text)
	}
	for _, want := range []string{"limits: {example.com/gpu: 1}", "image: registry.example.com/builder:v9", "max-in-flight: 1\n"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("the configuration has %d times %q", strings.Count(text, want), want)
		}
	}
}

// Of many colours the nearest of those that there are most of stay.
func TestShrink(t *testing.T) {
	from := image.NewRGBA(image.Rect(0, 0, 300, 10))
	for x := range 300 {
		for y := range 10 {
			from.Set(x, y, color.RGBA{uint8(x), uint8(x / 256 * y), 7, 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, from); err != nil {
		t.Fatal(err)
	}
	small, err := shrink(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	to, err := png.Decode(bytes.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	if p, is := to.ColorModel().(color.Palette); !is || len(p) != 256 || to.Bounds() != from.Bounds() {
		t.Errorf("it became %T of %v", to.ColorModel(), to.Bounds())
	}
	for x := range 300 {
		want, _, _, _ := from.At(x, 3).RGBA()
		got, _, _, _ := to.At(x, 3).RGBA()
		if d := int(want>>8) - int(got>>8); d < -8 || d > 8 {
			t.Errorf("at %d is red %d and was %d", x, got>>8, want>>8)
		}
	}
}
