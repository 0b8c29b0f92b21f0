#!/usr/bin/env bash
# Measures all that iserd aims at, on one commit, then prints it beside the aims: an hour and a quarter on a machine that does nothing
# else. Arguments: the steps to measure, in this order; default all. Of the others the last results count.
set -euo pipefail
cd "$(dirname "$0")/../.."
steps=(host hop garbage memory vm tail strategies)

run() { node --import tsx "test/bench/$1.ts" "${@:2}"; }

measure() {
  case $1 in
    host) run main --place host --grid side-by-side ;;
    hop) run main --place hop --grid side-by-side ;;
    garbage) run garbage ;;
    memory) run idle-memory ;;
    vm) run main --place vm-tgt --grid side-by-side ;;
    tail) run main --place host --grid tail ;;
    strategies) run strategies --part strategies ;;
    *)
      echo "$0: \"$1\" is none of: ${steps[*]}" >&2
      exit 2
      ;;
  esac
}

if [ $# -gt 0 ]; then steps=("$@"); fi
bash test/setup.sh test
for step in "${steps[@]}"; do
  echo "== $step"
  measure "$step"
done
run targets
