package contract

import "testing"

func TestTraceparent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for text, want := range map[string]string{
		good: good, "": "", good + "0": "", "01" + good[2:]: "", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": "",
		"00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01": "", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333\x1b-01": "",
	} {
		if got := Traceparent(text); got != want {
			t.Errorf("%q: got %q", text, got)
		}
	}
	m := Message{Outcome: OutcomeFinished, Traceparent: "secret"}
	if got, err := ParseMessage(string(m.Encode())); err != nil || got.Traceparent != "" {
		t.Errorf("%q, %v", got.Traceparent, err)
	}
}
