#!/bin/sh
set -eu
mkdir -p out
for i in 1 2 3; do echo "--- part $i"; echo "$GREETING, part $i" > "out/part-$i.txt"; sleep 0.3; done
buildkite-agent meta-data set parts 3
