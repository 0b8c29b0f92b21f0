#!/usr/bin/env bash
# `npm run bench`: see options.ts for its options.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash test/setup.sh test
exec node --import tsx test/bench/main.ts "$@"
