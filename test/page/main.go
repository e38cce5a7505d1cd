// Command page looks at the scheduler's status page and at the simulator's page in a real
// Chromium: what a screen reader is told of them, what the keyboard reaches, whether their
// colours can be read, in light and dark, on a telephone and enlarged, with and without
// their scripts, and what axe-core says. `make page-test` runs it.
//
// It is a module of its own, so that the browser's protocol never reaches the product's
// go.mod.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/chromedp"
)

// options are the flags.
type options struct{ axe, sim, pictures string }

func main() {
	var o options
	flag.StringVar(&o.axe, "axe", "", "`FILE` of axe-core (axe.min.js): no violation may be left")
	flag.StringVar(&o.sim, "sim", "../../bin/onejob-sim", "`FILE` of the simulator")
	flag.StringVar(&o.pictures, "pictures", "", "make pictures of all pages in this `FOLDER`, and look at nothing else")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// site is one of the pages. Its ready is what is true in the browser when it is drawn.
type site struct{ name, url, ready string }

// visit is a browser on a page, and what was wrong with it.
type visit struct {
	ctx context.Context
	site
	axe string // its text

	mu     sync.Mutex
	faults []string
}

func (v *visit) bad(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if f := v.name + ": " + fmt.Sprintf(format, args...); !slices.Contains(v.faults, f) {
		v.faults = append(v.faults, f)
	}
}

func run(ctx context.Context, o options) error {
	cluster := newShow()
	status := cluster.serve()
	defer status.Close()
	buildkite, err := play(ctx, o.sim)
	if err != nil {
		return err
	}
	defer buildkite.stop()

	flags := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.NoSandbox, chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(ctx, flags...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	v := &visit{ctx: ctx}
	if o.axe != "" {
		b, err := os.ReadFile(o.axe)
		if err != nil {
			return err
		}
		v.axe = string(b)
	}
	if err := v.do(); err != nil {
		return err
	}
	go v.listen()
	scheduler := site{"status", status.URL + "/", `document.getElementById("summary") !== null`}
	simulator := site{"simulator", buildkite.url, `document.querySelectorAll("#jobs tr").length > 0 && document.querySelectorAll("#edges g path").length > 0`}
	unboxed := buildkite.unboxed()
	defer unboxed.Close()
	log := site{"log", unboxed.URL, `document.querySelector("pre") !== null`}
	if o.pictures != "" {
		return v.pictures(o.pictures, scheduler, simulator, log)
	}
	looks := []look{}
	for _, s := range []site{scheduler, simulator, log} {
		looks = append(looks, look{"colours", s, v.colours}, look{"narrow and enlarged", s, v.reflow}, look{"nothing moves", s, v.still}, look{"axe", s, v.axes})
	}
	looks = append(looks,
		look{"what a screen reader is told", scheduler, func() error { return v.tree(cluster.wants()) }},
		look{"keyboard", scheduler, v.keyboard},
		look{"live", scheduler, func() error { return v.live(cluster) }},
		look{"a standby", scheduler, func() error { return v.standby(cluster) }},
		look{"what a screen reader is told", simulator, func() error { return v.tree(toldOfBuilds) }},
		look{"the graph", simulator, v.graph},
		look{"the log", simulator, v.log},
		look{"keyboard, and a step that is unblocked", simulator, v.unblock},
		look{"without its script", scheduler, v.plain},
		look{"without its script", simulator, v.unscripted},
	)
	return v.all(looks)
}

// look is one thing to look at, of one page.
type look struct {
	name string
	site site
	run  func() error
}

func (v *visit) all(looks []look) error {
	for _, l := range looks {
		before, began := len(v.faults), time.Now()
		v.site = l.site
		if err := l.run(); err != nil {
			return fmt.Errorf("%s: %s: %w", l.site.name, l.name, err)
		}
		verdict := "ok  "
		switch {
		case len(v.faults) > before:
			verdict = "FAIL"
		case l.name == "axe" && v.axe == "":
			verdict = "--  "
		}
		fmt.Printf("%s %s: %s (%.1fs)\n", verdict, l.site.name, l.name, time.Since(began).Seconds())
	}
	if len(v.faults) > 0 {
		return errors.New(strings.Join(v.faults, "\n"))
	}
	return nil
}

// listen takes what the browser complains of for a fault.
func (v *visit) listen() {
	for m, err := range chromedp.Console(v.ctx) {
		if err != nil {
			return
		}
		if text := fmt.Sprint(m); !strings.Contains(text, "favicon") {
			v.bad("the browser says: %s", text)
		}
	}
}
