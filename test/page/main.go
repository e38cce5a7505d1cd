// Command page looks at the scheduler's status page in a real Chromium: what a screen
// reader is told of it, what the keyboard reaches, whether its colours can be read, in
// light and dark, with and without its script. `make page-test` runs it.
//
// It is a module of its own, so that the browser's protocol never reaches the product's
// go.mod. axe-core is in neither the Go proxy nor Debian: --axe takes a file of it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/onejob-dev/onejob/k8s/status"
)

func main() {
	axe := flag.String("axe", "", "`FILE` of axe-core (axe.min.js): no violation may be left")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *axe); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// visit is a browser on the page, and what was wrong with it.
type visit struct {
	ctx context.Context
	url string
	axe string // its text

	mu     sync.Mutex
	faults []string
}

func (v *visit) bad(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if f := fmt.Sprintf(format, args...); !slices.Contains(v.faults, f) {
		v.faults = append(v.faults, f)
	}
}

func run(ctx context.Context, axe string) error {
	cluster := newShow()
	mux := http.NewServeMux()
	status.New(cluster.look).Handle(mux)
	server := httptest.NewServer(mux)
	defer server.Close()

	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox, chromedp.WindowSize(1280, 900))
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	v := &visit{ctx: ctx, url: server.URL + "/"}
	if axe != "" {
		b, err := os.ReadFile(axe)
		if err != nil {
			return err
		}
		v.axe = string(b)
	}
	if err := v.do(); err != nil {
		return err
	}
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if text := fmt.Sprint(m); !strings.Contains(text, "favicon") {
				v.bad("the browser says: %s", text)
			}
		}
	}()
	for _, look := range []struct {
		name string
		run  func(*show) error
	}{{"what a screen reader is told", v.tree}, {"colours", v.colours}, {"keyboard", v.keyboard}, {"live", v.live}, {"narrow", v.narrow}, {"a standby", v.standby}, {"axe", v.axes}, {"without its script", v.plain}} {
		before := len(v.faults)
		if err := look.run(cluster); err != nil {
			return fmt.Errorf("%s: %w", look.name, err)
		}
		switch {
		case len(v.faults) > before:
			fmt.Println("FAIL", look.name)
		case look.name == "axe" && v.axe == "":
			fmt.Println("--   axe (no --axe was given)")
		default:
			fmt.Println("ok  ", look.name)
		}
	}
	if len(v.faults) > 0 {
		return errors.New(strings.Join(v.faults, "\n"))
	}
	return nil
}

func (v *visit) do(actions ...chromedp.Action[chromedp.Void]) error {
	return chromedp.Do(v.ctx, actions...)
}

// js is what an expression comes to.
func js[T any](v *visit, expression string) (T, error) {
	return chromedp.Run(v.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

func (v *visit) open() chromedp.Action[chromedp.Void] { return chromedp.Navigate(v.url) }

// each runs a function in light and in dark.
func (v *visit) each(f func(scheme string) error) error {
	for _, scheme := range []string{"light", "dark"} {
		media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
		if _, err := chromedp.Call(v.ctx, emulation.SetEmulatedMedia, media); err != nil {
			return err
		}
		if err := v.do(v.open()); err != nil {
			return err
		}
		if err := f(scheme); err != nil {
			return err
		}
	}
	return nil
}

// colours: each text can be read on what is behind it, at WCAG's 4.5 to 1.
func (v *visit) colours(*show) error {
	return v.each(func(scheme string) error {
		weak, err := js[[]string](v, weakTexts)
		if err != nil {
			return err
		}
		for _, w := range weak {
			v.bad("%s: %s", scheme, w)
		}
		return nil
	})
}

const weakTexts = `(() => {
  const parse = c => (c.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4).reduce((s, x, i) => s + x * [.2126, .7152, .0722][i], 0);
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return matchMedia("(prefers-color-scheme: dark)").matches ? [0, 0, 0] : [255, 255, 255]; };
  const weak = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !e.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) weak.add(e.tagName + "." + e.className + " has a contrast of " + ratio.toFixed(2));
  }
  return [...weak];
})()`

// keyboard: the first key leads past the queues, everything that can be used is reached
// in the page's order, and where one is can be seen.
func (v *visit) keyboard(*show) error {
	if err := v.do(v.open()); err != nil {
		return err
	}
	var seen []string
	for range 14 {
		if err := v.do(chromedp.KeyEvent(kb.Tab)); err != nil {
			return err
		}
		at, err := js[struct {
			Name    string
			Outline string
			Left    float64
		}](v, `(() => { const e = document.activeElement, s = getComputedStyle(e); return {
			Name: e.id || e.name || e.getAttribute("aria-labelledby") || e.textContent.trim() || e.tagName, Outline: s.outlineStyle, Left: e.getBoundingClientRect().left}; })()`)
		if err != nil {
			return err
		}
		if at.Outline == "none" || at.Left < 0 {
			v.bad("where the keyboard is can't be seen at %q: outline %s, left %v", at.Name, at.Outline, at.Left)
		}
		seen = append(seen, at.Name)
	}
	reached := strings.Join(seen, " › ")
	for _, want := range []string{"Skip to the jobs", "queues-title", "default", "q", "queue", "phase", "Show"} {
		if !slices.Contains(seen, want) {
			v.bad("the keyboard reaches %s and not %q", reached, want)
		}
	}
	if seen[0] != "Skip to the jobs" {
		v.bad("the first stop is %q", seen[0])
	}
	if err := v.do(v.open(), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter)); err != nil {
		return err
	}
	at, err := js[string](v, `document.activeElement.id`)
	if at != "jobs" {
		v.bad("the first link leads to %q", at)
	}
	return err
}

// live: what changes is shown without a new page, and nothing is taken from under the
// hands of who types.
func (v *visit) live(s *show) error {
	if err := v.do(v.open(), chromedp.Evaluate[chromedp.Void](`window.same = true`), chromedp.SendKeys(chromedp.CSS(`input[name=q]`), "typed")); err != nil {
		return err
	}
	s.turn()
	ctx, cancel := context.WithTimeout(v.ctx, 20*time.Second)
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](`document.getElementById("rows").textContent.includes("turn-1") && document.getElementById("summary").textContent.includes("1 queue stopped")`))
	if err != nil {
		v.bad("a change isn't shown: %s", err)
		return nil
	}
	still, err := js[struct {
		Same          bool
		Typed, Active string
	}](v, `({Same: !!window.same, Typed: document.querySelector("input[name=q]").value, Active: document.activeElement.name})`)
	if err != nil {
		return err
	}
	if !still.Same || still.Typed != "typed" || still.Active != "q" {
		v.bad("after a change: %+v", still)
	}
	return nil
}

// narrow: on a telephone tables scroll, and not the page.
func (v *visit) narrow(*show) error {
	if err := v.do(chromedp.EmulateViewport(380, 800), v.open()); err != nil {
		return err
	}
	wide, err := js[int](v, `document.documentElement.scrollWidth`)
	if err != nil {
		return err
	}
	if wide > 380 {
		v.bad("at 380 pixels the page has %d", wide)
	}
	return v.do(chromedp.EmulateViewport(1280, 900))
}

// standby: the page of a replica that doesn't lead has no fault either.
func (v *visit) standby(s *show) error {
	s.leads(false)
	defer s.leads(true)
	time.Sleep(time.Second) // looks are shared for as long
	if err := v.tree(s); err != nil {
		return err
	}
	text, err := js[string](v, `document.querySelector("main").innerText`)
	if !strings.Contains(text, "port-forward pod/onejob-1") {
		v.bad("a standby says %q", text)
	}
	time.Sleep(time.Second)
	return err
}

// axes runs axe-core, if it is given.
func (v *visit) axes(*show) error {
	if v.axe == "" {
		return nil
	}
	return v.each(func(scheme string) error {
		if err := v.do(chromedp.Evaluate[chromedp.Void](v.axe + ";undefined")); err != nil {
			return err
		}
		violations, err := js[[]string](v, `axe.run().then(r => r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.slice(0, 3).map(n => n.html)))`)
		for _, one := range violations {
			v.bad("%s: axe: %s", scheme, one)
		}
		return err
	})
}

// plain: without its script the page has the same, and the search works.
func (v *visit) plain(*show) error {
	if _, err := chromedp.Call(v.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		return err
	}
	if err := v.do(chromedp.Navigate(v.url + "?phase=running&page=2")); err != nil {
		return err
	}
	page, err := chromedp.Run(v.ctx, chromedp.OuterHTML(chromedp.CSS("html")))
	if rows := strings.Count(page, `<th scope="row"><a href="https://buildkite.com/`); rows < 100 || !strings.Contains(page, "101–200 of 2500") {
		v.bad("without its script the page has %d rows", rows)
	}
	return err
}
