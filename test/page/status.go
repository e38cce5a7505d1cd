package main

import (
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// keyboard: the first key leads past the queues, everything that can be used is reached
// in the page's order, and where one is can be seen.
func (v *visit) keyboard() error {
	if err := v.open(); err != nil {
		return err
	}
	seen, err := v.walk(kb.Tab, 24)
	if err != nil {
		return err
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
	if err := v.open(); err != nil {
		return err
	}
	if err := v.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter)); err != nil {
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
	if err := v.open(); err != nil {
		return err
	}
	if err := v.do(chromedp.Evaluate[chromedp.Void](`window.same = true`), chromedp.SendKeys(chromedp.CSS(`input[name=q]`), "typed")); err != nil {
		return err
	}
	s.turn()
	if err := v.until(`document.getElementById("rows").textContent.includes("turn-1") && document.getElementById("summary").textContent.includes("1 queue stopped") && document.title.startsWith("1 not ready")`); err != nil {
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

// standby: the page of a replica that doesn't lead has no fault either.
func (v *visit) standby(s *show) error {
	s.leads(false)
	defer s.leads(true)
	time.Sleep(time.Second) // looks are shared for as long
	if err := v.tree(s.wants()); err != nil {
		return err
	}
	if err := v.axes(); err != nil {
		return err
	}
	text, err := js[string](v, `document.querySelector("main").innerText`)
	if !strings.Contains(text, "port-forward pod/onejob-1") {
		v.bad("a standby says %q", text)
	}
	time.Sleep(time.Second)
	return err
}

// scripts lets pages run their scripts, or not.
func (v *visit) scripts(off bool) error {
	_, err := chromedp.Call(v.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: off})
	return err
}

// plain: without its script the page has the same, and the search works.
func (v *visit) plain() error {
	if err := v.scripts(true); err != nil {
		return err
	}
	if err := v.do(chromedp.Navigate(v.url + "?phase=running&page=2")); err != nil {
		return err
	}
	page, err := chromedp.Run(v.ctx, chromedp.OuterHTML(chromedp.CSS("html")))
	if err != nil {
		return err
	}
	if rows := strings.Count(page, `<a href="https://buildkite.com/`); rows < 100 || !strings.Contains(page, "101–200 of 2500") {
		v.bad("without its script the page has %d rows", rows)
	}
	return v.scripts(false)
}
