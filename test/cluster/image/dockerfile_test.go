package image

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	text := `# a comment
FROM golang:1.26 AS build
RUN go build \
  # in between
  -o /out/x ./x

FROM scratch as final
COPY --from=build /out/x /bin/
`
	got, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []stage{
		{name: "build", from: "golang:1.26", instructions: []instruction{{3, "RUN", "go build -o /out/x ./x"}}},
		{name: "final", from: "scratch", instructions: []instruction{{8, "COPY", "--from=build /out/x /bin/"}}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(stage{}, instruction{})); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// What this package doesn't carry out, it must refuse: it would drift from what
// docker build makes.
func TestNotUnderstood(t *testing.T) {
	tests := []struct{ name, text string }{
		{"nothing", ""},
		{"before FROM", "ARG X=1\nFROM scratch AS s"},
		{"no name", "FROM scratch"},
		{"a platform", "FROM --platform=linux/amd64 scratch AS s"},
		{"an open end", "FROM scratch AS s\nUSER \\"},
		{"another image", "FROM alpine:3 AS s"},
		{"a stage that comes later", "FROM later AS s\nFROM scratch AS later"},
		{"itself", "FROM s AS s"},
		{"an unknown instruction", "FROM scratch AS s\nVOLUME /x"},
		{"RUN without a base", "FROM scratch AS s\nRUN true"},
		{"COPY from the context", "FROM scratch AS s\nCOPY a /b/"},
		{"COPY with a mode", "FROM scratch AS s\nCOPY --from=s --chmod=1 /a /b/"},
		{"COPY to a file", "FROM golang:1 AS b\nFROM scratch AS s\nCOPY --from=b /a /b"},
		{"ENTRYPOINT of a shell", "FROM scratch AS s\nENTRYPOINT /x"},
		{"ENV with a blank", "FROM scratch AS s\nENV A b"},
		{"a variable nobody set", "FROM scratch AS s\nENV A=${B}"},
		{"a big base", "FROM debian:bookworm AS s"},
		{"upgrades", "FROM debian:bookworm-slim AS s\nRUN apt-get upgrade"},
		{"recommends", "FROM debian:bookworm-slim AS s\nRUN apt-get install -y git"},
		{"packages late", "FROM debian:bookworm-slim AS s\nRUN true && apt-get install -y --no-install-recommends git"},
		{"another command", "FROM golang:1 AS s\nRUN make"},
		{"a shell", "FROM golang:1 AS s\nRUN go build -o /x ./x && rm -r /"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stages, err := parse(test.text)
			if err == nil {
				b := &builder{stages: stages, built: map[string]*result{}, cache: t.TempDir(), scratch: t.TempDir()}
				_, err = b.stage(t.Context(), "s")
			}
			if err == nil {
				t.Error("got no error")
			}
		})
	}
}

func TestGoStage(t *testing.T) {
	stages, err := parse(`FROM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG VERSION=none
ENV GOOS=plan9
RUN go build -trimpath -ldflags "-s -X main.version=${VERSION}" -o /out/x ./x`)
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{stages: stages, built: map[string]*result{}, options: Options{Version: "v1"}}
	got, err := b.stage(t.Context(), "build")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]program{"/out/x": {
		pkg: "./x", env: []string{"GOOS=plan9"}, flags: []string{"-trimpath", "-ldflags", "-s -X main.version=v1"},
	}}
	if diff := cmp.Diff(want, got.programs, cmp.AllowUnexported(program{})); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("FROM golang:1 AS s\nENV A=1 B=${A}\nRUN go build -o /x ./x")
	f.Add("FROM scratch AS s\nCOPY --from=a b c/\nENTRYPOINT [\"x\"]\n")
	f.Add("FROM debian:x-slim AS s\nRUN apt-get update \\\n&& true")
	f.Fuzz(func(t *testing.T, text string) {
		stages, err := parse(text)
		if err != nil {
			return
		}
		for _, s := range stages {
			for _, i := range s.instructions {
				_, _ = assignments(i, variables{"A": "1"})
				_, _ = execForm(i)
				_, _, _ = debianRun(i)
				if _, p, err := goBuild(i, variables{}); err == nil && p.pkg == "" {
					t.Errorf("%q builds no package", i.args)
				}
			}
		}
	})
}

func TestWords(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{" a  b\t", []string{"a", "b"}},
		{`-x "a b" 'c "d"' e" "f`, []string{"-x", "a b", `c "d"`, "e f"}},
		{`""`, []string{""}},
	}
	for _, test := range tests {
		got, err := words(test.text)
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q: want -, got +:\n%s", test.text, diff)
		}
	}
	for _, text := range []string{`"open`, "a; b", "$(x)", "a > b", "*.go"} {
		if got, err := words(text); err == nil {
			t.Errorf("%q: got %q, want an error", text, got)
		}
	}
	if _, err := words("a | b"); !errors.Is(err, errNotUnderstood) || !strings.Contains(err.Error(), "a | b") {
		t.Errorf("got %v", err)
	}
}

func TestMirrorIn(t *testing.T) {
	tests := []struct {
		name   string
		deb822 bool
		text   string
		want   string
	}{
		{"a line", false, "deb http://mirror.test/debian bookworm main contrib\n", "http://mirror.test/debian"},
		{"with options", false, "deb [arch=amd64 signed-by=/k] http://mirror.test/debian bookworm main\n", "http://mirror.test/debian"},
		{"commented out", false, "# deb http://mirror.test/debian bookworm main\n", ""},
		{"another suite", false, "deb http://mirror.test/x nodistro main\n", ""},
		{"sources only", false, "deb-src http://mirror.test/debian bookworm main\n", ""},
		{"a stanza", true, "Types: deb\n# URIs: http://old.test\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\n", "http://mirror.test/debian"},
		{"the second", true, "Types: deb\nURIs: http://other.test\nSuites: nodistro\nComponents: main\n\nTypes: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n", "http://mirror.test/debian"},
		{"switched off", true, "Enabled: no\nTypes: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n", ""},
	}
	for _, test := range tests {
		if got := mirrorIn(test.text, "bookworm", test.deb822); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
