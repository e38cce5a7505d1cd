// What looks at the status page in a browser: a module of its own, so that its
// dependencies never reach the product's go.mod.
module github.com/onejob-dev/onejob/test/page

go 1.26.8

replace github.com/onejob-dev/onejob => ../..

require (
	github.com/chromedp/cdproto v0.160.3
	github.com/chromedp/chromedp v0.23.1
	github.com/onejob-dev/onejob v0.0.0-00010101000000-000000000000
)

require (
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	golang.org/x/time v0.16.0 // indirect
	k8s.io/apimachinery v0.36.6 // indirect
)
