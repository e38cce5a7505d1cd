# `make help` lists the targets. Everything that is built or cached lies in bin/
# and .cache/.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X github.com/onejob-dev/onejob/build.Version=$(VERSION)
# One set of flags for all but the race detector: each package is compiled once. The tag
# leaves out urfave/cli's pages for man, and the reader of Markdown that they need.
export CGO_ENABLED := 0
export GOFLAGS := $(strip $(GOFLAGS) -trimpath -tags=urfave_cli_no_docs)
# go vet has looked at the same packages, and again would go through all they import.
RACE    := CGO_ENABLED=1 go test -race -vet=off
GOBUILD := go run ./test/gobuild/cmd
LINT    := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.0
VULN    := golang.org/x/vuln/cmd/govulncheck@v1.6.0
FUZZTIME ?= 60s

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# KUBECONFIG counts only if it is given to make: many shells export one.
EXISTING := $(if $(filter command,$(firstword $(origin KUBECONFIG))),$(KUBECONFIG))

.PHONY: demo
demo: $(if $(EXISTING),,build $(if $(LOCAL),,packages)) ## run an example pipeline on a real Kubernetes, as root; LOCAL=1: as processes; KUBECONFIG=…: what it needs on your cluster
	@go run ./demo $(if $(EXISTING),--kubeconfig '$(EXISTING)') $(if $(LOCAL),--local) $(DEMOFLAGS)

.PHONY: test
test: packages promtool git-lfs ## run all tests, as root: real processes, a real Kubernetes (needs no network but apt and Go modules)
	go vet ./...
	go vet -tags containerd2 ./test/containerd2
	for module in page kubectl kueue release/oci; do (cd test/$$module && go vet ./...) || exit 1; done
	$(MAKE) -j2 race background

# Tests on a cluster and of processes mostly wait. What only computes takes what
# they leave.
.PHONY: race background
race:
	$(RACE) -timeout 60m ./...
	cd test/release/oci && go test -vet=off .
background:
	nice $(MAKE) histories

# Without the race detector, which costs four times as much: TestHistories has told
# the first of these histories with it. `go run ./test/histories -h` tells of one.
HISTORIES ?= 20000
FROM ?= 1
.PHONY: histories
histories: ## simulate the scheduler in HISTORIES (20000) random histories from seed FROM (1), and find planted bugs
	@mkdir -p .cache
	go build -o .cache/histories ./test/histories
	seq $(FROM) 1000 $$(($(FROM) + $(HISTORIES) - 1)) | GOGC=400 xargs -I{} -P $$(nproc) .cache/histories --n=1000 --from={}
	go test -count=1 -v -timeout 60m -run '^TestMutants$$' -parallel 2 ./test/histories -mutants=2000

.PHONY: bench
bench: build ## measure: the herd, the process, each beside the stock agent; fails if a bar is missed
	go test -count=1 -timeout 30m -run TestHerd -v ./test/bench -herd.n=1000,10000
	go run ./test/bench/cmd/bench-runner

.PHONY: bench-scheduler
bench-scheduler: packages ## measure the scheduler on a real control plane, as root; fails if a bar is missed; BENCHFLAGS='-h' tells what can be chosen
	@go run ./test/bench/cmd/bench-scheduler $(BENCHFLAGS)

.PHONY: bench-pods
bench-pods: packages ## measure how long a job's pod takes to say its first word, on a real cluster, as root; fails if a bar is missed; BENCHFLAGS='-h'
	@go run ./test/bench/cmd/bench-pods $(BENCHFLAGS)

# axe-core is in the npm registry only. It comes as a package, unpacked and compared, and
# nothing of it is run but in the browser.
AXE_VERSION := 4.14.1
AXE_SHA256  := 29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c
AXE ?= .cache/axe-$(AXE_VERSION).min.js
.PHONY: page-test screenshot chromium
page-test: chromium $(filter .cache/%,$(AXE)) ## look at the status page and the simulator's in a real browser, as root: axe-core, keyboard, colours, sizes; AXE=none without axe-core; PAGEFLAGS=-h
	@mkdir -p bin && go build -o bin/ ./cmd/onejob-sim
	cd test/page && go run . $(if $(filter none,$(AXE)),,--axe '$(abspath $(AXE))') $(PAGEFLAGS)
.cache/axe-$(AXE_VERSION).min.js:
	@command -v npm >/dev/null || { echo "axe-core comes by npm, which isn't here: install it, name a FILE by AXE=axe.min.js, or leave it out by AXE=none"; exit 1; }
	@rm -rf .cache/axe && mkdir -p .cache/axe && cd .cache/axe && npm pack --silent axe-core@$(AXE_VERSION) >/dev/null && tar -xzf axe-core-*.tgz package/axe.min.js && \
	  echo "$(AXE_SHA256)  package/axe.min.js" | sha256sum --check --quiet && mv package/axe.min.js ../../$@ && cd .. && rm -r axe
screenshot: build packages chromium ## make docs/status.png of the status page after the demo, as root
	go run ./demo --screenshot docs/status.png
chromium:
	@command -v chromium >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; }

# containerd 2 and runc take minutes to build, and a cluster of their own: no part of make
# test. What Debian's say of the same queues is in test/endtoend.
.PHONY: test-containerd2
test-containerd2: packages ## run jobs on nodes with containerd 2, built from source, as root: image volumes, users of a pod's own
	@for p in gcc pkg-config libseccomp-dev; do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev pkg-config libseccomp-dev >/dev/null; break; }; done
	go test -count=1 -timeout 30m -tags containerd2 ./test/containerd2

.PHONY: chaos
chaos: packages ## hurt a real cluster at random and judge what comes of 500 jobs, as root; CHAOSFLAGS="--seed=1 --jobs=100"
	go run ./test/chaos/cmd $(CHAOSFLAGS)

.PHONY: lint
lint: ## run the linters (builds golangci-lint once)
	@test -x .cache/golangci-lint || GOBIN=$(CURDIR)/.cache go install $(LINT)
	GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/golangci .cache/golangci-lint run ./...

.PHONY: vuln
vuln: ## look for known vulnerabilities in what is linked (asks the vulnerability database)
	go run $(VULN) ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME (60s)
	@set -e; for pkg in $$(grep -rl --include='*_test.go' --exclude-dir=.cache '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; done; done

.PHONY: reference chart
reference: ## write the schema of onejob.yaml again, and the tables of settings, metrics and commands in docs/, from the code
	go test -count=1 -run '^(TestSchema|TestConfigurationPage|TestMetricsPage|TestCommandsPage)$$' ./test/reference ./k8s/scheduler ./cmd/onejob -update
chart: reference ## render deploy/base, deploy/alerts, the chart's schema and its goldens again, from deploy/chart
	go test -count=1 -run '^TestValuesSchema$$' ./deploy -update
	go test -count=1 -run '^(TestBaseIsRendered|TestChartGoldens|TestAlertsAreRendered)$$' ./deploy -update

.PHONY: build
build: ## build the programs and the stock agent of the pinned version into bin/
	@mkdir -p bin
	@$(GOBUILD) -ldflags "$(LDFLAGS)" -o bin/ ./cmd/...
	@$(GOBUILD) -ldflags "-s -w" -o bin/buildkite-agent github.com/buildkite/agent/v3

# The runner's image has Debian's packages of its own architecture, which debootstrap
# unpacks. For another one than this machine's, qemu runs their scripts.
.PHONY: images release-dry-run emulator
images: packages emulator ## build both images for amd64 and arm64 into bin/release/images, OCI layouts with SBOMs, as root, without Docker
	go run ./test/release/cmd -version $(VERSION) $(RELEASEFLAGS)
release-dry-run: packages emulator ## build all that a release publishes, push it to a registry of its own, say what it is; signs nothing
	go run ./test/release/cmd -version $(VERSION) -dry-run $(RELEASEFLAGS)
emulator:
	@test -x /usr/bin/proot -a -x /usr/bin/qemu-aarch64-static || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends proot qemu-user-static >/dev/null; }

.PHONY: cluster-up cluster-down
cluster-up: packages ## start a real Kubernetes on this machine, as root; prints its kubeconfig
	go run ./test/cluster/cmd up
cluster-down: ## end it
	go run ./test/cluster/cmd down

# What the tests' Kubernetes is made of, on Debian.
.PHONY: packages
packages:
	@missing=$$(dpkg-query -W -f '$${db:Status-Status} $${Package}\n' $$(cat test/cluster/packages.txt) 2>&1 | awk '!/^installed /' | wc -l); \
	if [ "$$missing" != 0 ]; then \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$(cat test/cluster/packages.txt) >/dev/null; \
	  else echo "the tests need these packages; install them with:"; echo "  sudo apt-get install $$(tr '\n' ' ' < test/cluster/packages.txt)"; exit 1; fi; fi

# Only one program is taken from these packages: installed, prometheus would start a
# server, and git-lfs would change what git does everywhere.
define from-package
command -v $(2) >/dev/null || test -x .cache/$(2)/$(2) || { \
  rm -rf .cache/$(2)/package && mkdir -p .cache/$(2)/package && cd .cache/$(2)/package && { apt-get download -qq $(1) 2>/dev/null || { apt-get update -qq && apt-get download -qq $(1); }; } && \
  dpkg-deb --fsys-tarfile $(1)_*.deb | tar -x --strip-components=3 ./usr/bin/$(2) && \
  mv $(2) .. && cd .. && rm -r package; }
endef
.PHONY: promtool git-lfs
promtool: ## have promtool, which tests the alerts, from Debian's package prometheus, in .cache/
	@$(call from-package,prometheus,promtool)
git-lfs: ## have git-lfs, for the tests of a checkout, from Debian's package, in .cache/
	@$(call from-package,git-lfs,git-lfs)

.PHONY: graph
graph: ## print which package of this module imports which
	@go list -f '{{range .Imports}}{{$$.ImportPath}} {{.}}{{"\n"}}{{end}}' ./cmd/... ./k8s/... ./launcher/... ./acquire ./stacks ./simulator ./contract | \
	  awk -v m="$$(go list -m)/" 'index($$2, m) == 1 { sub(m, "", $$1); sub(m, "", $$2); if ($$1 != p) printf "%s%s →", p ? "\n" : "", p = $$1; printf " %s", $$2 } END { print "" }'

.PHONY: clean
clean: ## remove what was built
	rm -rf bin .cache
