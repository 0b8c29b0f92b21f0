#!/usr/bin/env bash
# `npm run test:faults`: the fault matrix in the VM; see matrix.ts for its options.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash test/setup.sh test
mkdir -p test/faults/results
# Requests that wait for an answer occupy a thread each.
exec test/vm/run.sh -m 4096 -t 5400 -o test/faults/results \
  bash test/vm/guest/prepared.sh env UV_THREADPOOL_SIZE=48 \
  node --import tsx test/faults/matrix.ts "$@"
