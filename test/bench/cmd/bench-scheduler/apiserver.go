package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var labelPair = regexp.MustCompile(`(\w+)="([^"]*)"`)

// jobWrites is how many requests that write Jobs, their status apart, the API
// server has served, by its own count.
func (b *bench) jobWrites(ctx context.Context) (int, error) {
	text, err := b.cluster.Client().CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, err
	}
	sum := 0
	for line := range strings.Lines(string(text)) {
		rest, is := strings.CutPrefix(line, "apiserver_request_total{")
		if !is {
			continue
		}
		labels := map[string]string{}
		for _, pair := range labelPair.FindAllStringSubmatch(rest, -1) {
			labels[pair[1]] = pair[2]
		}
		if labels["group"] != "batch" || labels["resource"] != "jobs" || labels["subresource"] != "" {
			continue
		}
		switch labels["verb"] {
		case "GET", "LIST", "WATCH":
			continue
		case "DELETECOLLECTION": // the namespace of the scenario before is being cleared
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, '}')+1:]), 64)
		if err != nil {
			return 0, fmt.Errorf("reading the API server's metrics: %w", err)
		}
		sum += int(value)
	}
	return sum, nil
}
