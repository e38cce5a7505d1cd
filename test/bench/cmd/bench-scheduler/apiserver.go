package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var labelPair = regexp.MustCompile(`(\w+)="([^"]*)"`)

// jobWrites is how many requests that write Jobs, their status apart, the API
// server has answered, by its own count: of each verb and code, as "POST 201".
func (b *bench) jobWrites(ctx context.Context) (map[string]int, error) {
	return b.writes(ctx, func(labels map[string]string) bool {
		return labels["group"] == "batch" && labels["resource"] == "jobs" && labels["subresource"] == ""
	})
}

// eventWrites is the same of Events, in sum.
func (b *bench) eventWrites(ctx context.Context) (n int, err error) {
	writes, err := b.writes(ctx, func(labels map[string]string) bool { return labels["resource"] == "events" })
	for _, of := range writes {
		n += of
	}
	return n, err
}

func (b *bench) writes(ctx context.Context, count func(labels map[string]string) bool) (map[string]int, error) {
	text, err := b.cluster.Client().CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	n := map[string]int{}
	for line := range strings.Lines(string(text)) {
		rest, is := strings.CutPrefix(line, "apiserver_request_total{")
		if !is {
			continue
		}
		labels := map[string]string{}
		for _, pair := range labelPair.FindAllStringSubmatch(rest, -1) {
			labels[pair[1]] = pair[2]
		}
		if !count(labels) {
			continue
		}
		switch labels["verb"] {
		case "GET", "LIST", "WATCH":
			continue
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, '}')+1:]), 64)
		if err != nil {
			return nil, fmt.Errorf("reading the API server's metrics: %w", err)
		}
		n[labels["verb"]+" "+labels["code"]] += int(value)
	}
	return n, nil
}

// cleared waits until the namespaces of the scenarios before are gone: what
// clears them writes too.
func (b *bench) cleared(ctx context.Context) error {
	for {
		list, err := b.cluster.Client().CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(list.Items, func(n corev1.Namespace) bool { return n.DeletionTimestamp != nil }) {
			return nil
		}
		if !pause(ctx, 200*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}
