package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each example is one that its configuration takes, and that the index tells of.
func TestExamples(t *testing.T) {
	dir := filepath.Join("..", "..", "examples")
	index, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "pipeline.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d examples: %v", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			run(t, "lint", file, "-f", filepath.Join(dir, "onejob.yaml")).wants(t, 0, "0 faults")
			if !strings.Contains(string(index), "("+name+"/pipeline.yml)") {
				t.Error("README.md doesn't tell of it")
			}
		})
	}
}
