#!/bin/sh
set -eu
echo "**$(buildkite-agent meta-data get parts) parts** were built, $(buildkite-agent meta-data get who) says." | buildkite-agent annotate --style success
