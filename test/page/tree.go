package main

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
)

// named are the roles that are of no use without a name.
var named = []string{"link", "button", "searchbox", "textbox", "combobox", "region", "table", "columnheader", "rowheader", "navigation", "heading", "option", "dialog", "Iframe"}

// tree: Chromium's accessibility tree has the landmarks, a name for each thing that has
// to have one, and the sentence that is read out when it changes.
func (v *visit) tree(want []string) error {
	return v.each(func(scheme string) error { return v.told(scheme, want) })
}

// told is the same of the page as it is now.
func (v *visit) told(when string, want []string) error {
	tree, err := chromedp.Call(v.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		return err
	}
	roles := map[string]int{}
	for _, n := range tree.Nodes {
		role, name := said(n.Role), said(n.Name)
		if n.Ignored {
			continue
		}
		roles[role]++
		empty := role == "navigation" || role == "option" // of one page; "all" has a name
		if slices.Contains(named, role) && name == "" && !empty {
			v.bad("%s: a %s has no name", when, role)
		}
	}
	for _, role := range want {
		if roles[role] == 0 {
			v.bad("%s: there is no %s", when, role)
		}
	}
	return nil
}

func said(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	_ = json.Unmarshal(v.Value, &s)
	return strings.TrimSpace(s)
}
