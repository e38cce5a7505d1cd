#!/bin/bash
# A job that uses what jobs use; its first failure is its end.
set -eux
# The user and the places that are its own.
test "$(id -u)" = "$WANT_UID"
whoami
ssh -G git@example.test >/dev/null
for dir in "$PWD" "$HOME" "$HOME/.cache" /tmp /var/tmp /builds; do
  mkdir -p "$dir"
  echo it is writable > "$dir/a-file"
done
if touch /etc/a-file /usr/local/bin/a-file /opt/a-file; then
  echo the root file system is writable
  exit 1
fi
# git, in a checkout of its own and with a configuration of its own.
git status --short
git config --global user.name ci
git config --global user.email ci@example.test
git commit --quiet --allow-empty --message a-commit
git log --oneline
# What plugins call without asking whether it is there.
curl --version
test "$(echo '{"colour": "red"}' | jq -r .colour)" = red
# The agent's commands.
buildkite-agent annotate "some text" --context one
buildkite-agent meta-data set "colour-$WANT_UID" red
test "$(buildkite-agent meta-data get "colour-$WANT_UID")" = red
echo one > one.txt
buildkite-agent artifact upload one.txt
mkdir down
buildkite-agent artifact download one.txt down --step "$BUILDKITE_JOB_ID"
cmp one.txt down/one.txt
buildkite-agent step update label " (updated)" --append
buildkite-agent step get label | grep -q "updated"
buildkite-agent env set LATER=1
test "$(buildkite-agent env get LATER)" = 1
printf added-by-hand | buildkite-agent redactor add
echo "this was added-by-hand, the password is $MY_PASSWORD"
# Not here: a lock is between the jobs of one host, and a pod has one.
if buildkite-agent lock acquire --lock-wait-timeout 1s a-lock; then
  echo there are locks
  exit 1
fi
echo 'steps: [{command: echo said-by-the-uploaded, label: uploaded, agents: {queue: '"$BUILDKITE_AGENT_META_DATA_QUEUE"'}}]' | buildkite-agent pipeline upload
echo finished with everything
