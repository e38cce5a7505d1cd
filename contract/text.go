package contract

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of what somebody else's text may bring in, in bytes.
const (
	// MaxName is for names, reasons and images: the longest image reference, with
	// its tag and digest, is about 450.
	MaxName = 512
	// MaxSentence is for sentences.
	MaxSentence = 2048
)

// Line makes of any text one line of printable text, in valid UTF-8, of at most n
// bytes, with an ellipsis where its end is missing. Whatever a terminal, a database
// or a reader's eye may take for something else than text (control and format
// characters, those that change the direction of writing, bytes that are no
// UTF-8) becomes a space, and so does white space in a row.
//
// Each text that onejob did not write itself passes here once, where it comes in.
// Line breaks go too: all of it ends in sentences, table rows and Events, none of
// which has lines.
func Line(s string, n int) string {
	var b strings.Builder
	gap := false
	for i, r := range s {
		if !printable(s[i:], r) {
			gap = b.Len() > 0
			continue
		}
		if gap {
			b.WriteByte(' ')
			gap = false
		}
		b.WriteRune(r)
		if b.Len() > n {
			break // of a text of megabytes the rest is not looked at
		}
	}
	return shorten(b.String(), n)
}

// printable reports whether a rune, the first of s, is a mark on paper.
func printable(s string, r rune) bool {
	if r == utf8.RuneError {
		_, size := utf8.DecodeRuneInString(s)
		return size > 1 // U+FFFD itself: somebody has replaced a bad byte already
	}
	return r != ' ' && unicode.IsPrint(r)
}

// Word and Sentence take in what the kubelet, other controllers, pipelines and the
// jobs themselves wrote: a Line within the bounds of a name, and of a sentence.
func Word(s string) string     { return Line(s, MaxName) }
func Sentence(s string) string { return Line(s, MaxSentence) }
