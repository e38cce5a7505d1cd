package main

import (
	"strings"

	"github.com/chromedp/chromedp"
)

// colours: each text can be read on what is behind it, at WCAG's 4.5 to 1.
func (v *visit) colours() error {
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

// reflow: the page itself never scrolls sideways: not at 320 pixels (WCAG 1.4.10), not
// enlarged to 200 %, and not with letters of twice the size (1.4.4). What is wider is a
// part that scrolls by keys.
func (v *visit) reflow() error {
	fits := func(how string) error {
		wide, err := js[[]string](v, wideParts)
		if err != nil {
			return err
		}
		for _, w := range wide {
			v.bad("%s: %s", how, w)
		}
		return nil
	}
	if err := v.sized(320, 640, 1, func() error {
		if err := v.open(); err != nil {
			return err
		}
		if v.name == "status" {
			if err := v.tree([]string{"table", "row", "columnheader", "rowheader", "cell"}); err != nil {
				return err
			}
		}
		if err := v.axed("at 320 pixels"); err != nil {
			return err
		}
		return fits("at 320 pixels")
	}); err != nil {
		return err
	}
	if err := v.sized(640, 450, 2, func() error {
		if err := v.open(); err != nil {
			return err
		}
		return fits("at 200 %")
	}); err != nil {
		return err
	}
	if err := v.open(); err != nil {
		return err
	}
	if _, err := js[string](v, `document.documentElement.style.fontSize = "200%"`); err != nil {
		return err
	}
	return fits("with large letters")
}

// wideParts are what is too wide for the window, or cut off.
const wideParts = `(() => {
  const root = document.documentElement, faults = [];
  if (root.scrollWidth > root.clientWidth) {
    faults.push("the page has " + root.scrollWidth + " pixels for " + root.clientWidth);
    for (const e of document.querySelectorAll("body *")) {
      const r = e.getBoundingClientRect();
      if (r.right > root.clientWidth + 1 && !e.closest(".wide, #graph, svg, .hidden, thead")) faults.push(e.tagName + "#" + e.id + "." + e.className + " ends at " + Math.round(r.right));
    }
  }
  for (const e of document.querySelectorAll("body *"))
    if (["hidden", "clip"].includes(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1 && !e.closest(".hidden, thead, time, svg, h1"))
      faults.push(e.tagName + "#" + e.id + "." + e.className + " is cut off");
  return faults.slice(0, 6);
})()`

// still: for who prefers less motion nothing moves.
func (v *visit) still() error {
	if err := v.prefer("prefers-reduced-motion", "reduce"); err != nil {
		return err
	}
	if err := v.open(); err != nil {
		return err
	}
	moving, err := js[[]string](v, `[...document.querySelectorAll("*")].filter(e => { const s = getComputedStyle(e);
		return s.animationName !== "none" || s.transitionDuration.split(",").some(d => parseFloat(d) > 0) || s.scrollBehavior === "smooth"; }).map(e => e.tagName + "." + e.className)`)
	for _, m := range moving {
		v.bad("%s moves", m)
	}
	return err
}

// axes runs axe-core, if it is given.
func (v *visit) axes() error { return v.each(v.axed) }

// axed does so with the page as it is now.
func (v *visit) axed(when string) error {
	if v.axe == "" {
		return nil
	}
	if err := v.do(chromedp.Evaluate[chromedp.Void](v.axe + ";undefined")); err != nil {
		return err
	}
	violations, err := js[[]string](v, `axe.run().then(r => r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.slice(0, 3).map(n => n.html)))`)
	for _, one := range violations {
		v.bad("%s: axe: %s", when, one)
	}
	return err
}

// stop is where the keyboard is.
type stop struct {
	Name    string
	Outline string
	Left    float64
}

// walk presses Tab, and returns where that leads. Where the keyboard is can be seen.
func (v *visit) walk(keys string, times int) (names []string, err error) {
	for range times {
		if err := v.do(chromedp.KeyEvent(keys)); err != nil {
			return nil, err
		}
		at, err := js[stop](v, `(() => { const e = document.activeElement, s = getComputedStyle(e); return {
			Name: e.id || e.name || e.getAttribute("aria-labelledby") || e.getAttribute("aria-label") || (e === document.body ? "" : e.textContent.trim()) || e.tagName, Outline: s.outlineStyle, Left: e.getBoundingClientRect().left}; })()`)
		if err != nil {
			return nil, err
		}
		if nowhere := at.Name == "BODY"; !nowhere && (at.Outline == "none" || at.Left < 0) {
			v.bad("where the keyboard is can't be seen at %q: outline %s, left %v", at.Name, at.Outline, at.Left)
		}
		names = append(names, strings.Join(strings.Fields(at.Name), " "))
	}
	return names, nil
}
