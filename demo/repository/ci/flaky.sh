#!/bin/sh
if [ "${BUILDKITE_RETRY_COUNT:-0}" = 0 ]; then
  echo "the first try fails, with a status that the pipeline retries"
  exit 7
fi
echo "the second try passes"
