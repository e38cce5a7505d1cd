package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

func (v *visit) do(actions ...chromedp.Action[chromedp.Void]) error {
	return chromedp.Do(v.ctx, actions...)
}

// js is what an expression comes to.
func js[T any](v *visit, expression string) (T, error) {
	return chromedp.Run(v.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// guard bounds what waits for the page to change.
const guard = 20 * time.Second

// until waits for an expression to be true. Between two pages there may be nothing that
// could say so.
func (v *visit) until(expression string) error {
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		is, err := js[bool](v, expression)
		switch {
		case is:
			return nil
		case v.ctx.Err() != nil, time.Since(began) > guard:
			return errors.Join(fmt.Errorf("it never became true: %s", expression), err)
		}
	}
}

// open opens the page, and waits for it to be drawn.
func (v *visit) open() error {
	if err := v.do(chromedp.Navigate(v.url)); err != nil {
		return err
	}
	return v.until(v.ready)
}

// prefer sets what the reader prefers, as name and value.
func (v *visit) prefer(name, value string) error {
	_, err := chromedp.Call(v.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: name, Value: value}}})
	return err
}

// each opens the page in light and in dark.
func (v *visit) each(f func(scheme string) error) error {
	for _, scheme := range []string{"light", "dark"} {
		if err := v.prefer("prefers-color-scheme", scheme); err != nil {
			return err
		}
		if err := v.open(); err != nil {
			return err
		}
		if err := f(scheme); err != nil {
			return err
		}
	}
	return nil
}

// sized looks through a window of another size, enlarged.
func (v *visit) sized(width, height int64, scale float64, f func() error) error {
	if err := v.do(chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale))); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return v.do(chromedp.EmulateViewport(1280, 900))
}

// pictures is for people: how the pages look.
func (v *visit) pictures(folder string, sites ...site) error {
	for _, s := range sites {
		v.site = s
		for name, width := range map[string]int64{"wide": 1280, "narrow": 320} {
			err := v.sized(width, 900, 1, func() error {
				return v.each(func(scheme string) error {
					b, err := chromedp.Run(v.ctx, chromedp.CaptureScreenshot())
					if err != nil {
						return err
					}
					return os.WriteFile(filepath.Join(folder, s.name+"-"+name+"-"+scheme+".png"), b, 0o644)
				})
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
