#!/usr/bin/env bash
# The system layer of the tests: builds the package, looks at it, boots a machine twice with it (its disk is new), tries what
# the documents say, and boots a guest from a volume inside the VM.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(node -p "require('./package.json').version")
packaging/build.sh "$version"
packaging/build.sh "$version+upgrade"

directory=$(mktemp -d "${TMPDIR:-/tmp}/iserd-system-XXXXXX")
trap 'rm -rf "$directory"' EXIT
mocha=(node_modules/.bin/mocha --reporter test/helpers/reporter.cjs --timeout 600000)
status=0
"${mocha[@]}" test/system/package.test.ts || status=1
for boot in first second; do
  echo "  the $boot boot"
  test/vm/run.sh -m 3072 -t 1800 -s "$directory/disk" "${mocha[@]}" "test/system/$boot-boot.test.ts" || status=1
done
# Each in a boot of its own: they start and stop targets and RDMA devices as users do.
for file in doctor getting-started guest; do
  echo "  a boot for $file"
  test/vm/run.sh -m 3072 -t 1200 bash test/vm/guest/prepared.sh "${mocha[@]}" "test/system/$file.test.ts" || status=1
done
exit "$status"
