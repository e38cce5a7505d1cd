#!/bin/sh
trap 'echo "asked to stop"; exit 1' TERM
echo "this goes on for ever"
while :; do sleep 0.1; done
