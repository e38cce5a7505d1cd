package main

import (
	"slices"
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// toldOfBuilds are the roles that a screen reader is to be told of.
var toldOfBuilds = []string{"banner", "main", "status", "table", "columnheader", "rowheader", "region", "heading", "button", "list"}

// graph: each step is a box, and each dependency a line from the right of one to the left
// of the other. No box covers another.
func (v *visit) graph() error {
	return v.each(func(scheme string) error {
		got, err := js[struct {
			Boxes, Lines, Wants, Overlaps int
			Off                           []string
		}](v, `(async () => {
			const d = await (await fetch("?data", {cache: "no-store"})).json(), steps = d.builds[0].graph;
			const boxes = [...document.querySelectorAll("#levels li li")].map(b => b.getBoundingClientRect());
			const at = document.getElementById("graph").getBoundingClientRect(), off = [];
			const lines = [...document.querySelectorAll("#edges g path")];
			for (const l of lines) {
				const [x1, y1, ...rest] = l.getAttribute("d").match(/-?[\d.]+/g).map(Number), [x2, y2] = rest.slice(-2);
				const near = (x, y, side) => boxes.some(b => Math.abs(b[side] - at.left - x) < 3 && b.top - at.top < y && y < b.bottom - at.top);
				if (!near(x1, y1, "right") || !near(x2, y2, "left")) off.push(l.getAttribute("d"));
			}
			const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
			return {Boxes: boxes.length, Lines: lines.length, Wants: steps.flatMap(s => s.after || []).length, Off: off,
				Overlaps: boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => over(a, b))).length};
		})()`)
		if err != nil {
			return err
		}
		if got.Boxes != 7 || got.Lines != got.Wants || got.Lines < 6 || got.Overlaps > 0 || len(got.Off) > 0 {
			v.bad("%s: the graph is %+v", scheme, got)
		}
		return nil
	})
}

// log: a button shows a job's log, and leads there.
func (v *visit) log() error {
	if err := v.open(); err != nil {
		return err
	}
	if err := v.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('button[aria-label^="Log of build"]').click()`)); err != nil {
		return err
	}
	if err := v.until(`document.activeElement.id === "log-title" && document.getElementById("log").src.includes("/log.html?")`); err != nil {
		return err
	}
	if err := v.axed("with a log"); err != nil {
		return err
	}
	text, err := js[string](v, `fetch(document.querySelector("#jobs tr") && "_sim/jobs/" + [...document.querySelectorAll("#jobs tr")].at(-1).querySelector("code").textContent + "/log.html").then(r => r.text())`)
	if !strings.Contains(text, `<span class="group quiet">~~~ `) || !strings.Contains(text, `<span class="term-fg31">red</span>`) {
		v.bad("the log's page is %s", text)
	}
	return err
}

// unblock: by the keyboard alone a step is unblocked, with what it asks.
func (v *visit) unblock() error {
	if err := v.open(); err != nil {
		return err
	}
	seen, err := v.walk(kb.Tab, 20)
	if err != nil {
		return err
	}
	for _, want := range []string{"builds-title", "Show the steps of build 1", "Cancel build 1", "graph", "Unblock release?", "jobs-title"} {
		if !slices.Contains(seen, want) {
			v.bad("the keyboard reaches %s and not %q", strings.Join(seen, " › "), want)
		}
	}
	if err := v.do(chromedp.Focus(chromedp.CSS(`#graph button`)), chromedp.KeyEvent(kb.Enter)); err != nil {
		return err
	}
	if err := v.until(`document.getElementById("unblock").open && document.activeElement.tagName === "INPUT"`); err != nil {
		return err
	}
	if err := v.told("the dialog", []string{"dialog", "textbox", "combobox", "button"}); err != nil {
		return err
	}
	if err := v.axed("with the dialog"); err != nil {
		return err
	}
	if err := v.do(chromedp.KeyEvent("somebody"), chromedp.KeyEvent(kb.Enter)); err != nil {
		return err
	}
	return v.until(`!document.getElementById("unblock").open && !document.querySelector("#graph button") && document.getElementById("steps").textContent.includes("finished")`)
}

// unscripted: without its script the page says where the same is.
func (v *visit) unscripted() error {
	if err := v.scripts(true); err != nil {
		return err
	}
	if err := v.do(chromedp.Navigate(v.url)); err != nil {
		return err
	}
	page, err := chromedp.Run(v.ctx, chromedp.OuterHTML(chromedp.CSS("noscript")))
	if err != nil {
		return err
	}
	if !strings.Contains(page, `<a href="?data">`) {
		v.bad("without its script the page says %s", page)
	}
	return v.scripts(false)
}
