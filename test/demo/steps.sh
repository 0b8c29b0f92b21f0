# Sourced: prints each step with its time, ends what was started.
# shellcheck shell=bash
set -euo pipefail

iserd() { node dist/bin/iserd.js "$@"; }
iserctl() { node dist/bin/iserctl.js "$@"; }

work=$(mktemp -d)
declare -a children=()
cleanup() {
  local status=$? child
  if mountpoint -q "$work/mount"; then umount "$work/mount"; fi
  for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
  # tgtd does not end at SIGTERM while it has targets.
  if declare -F tgt_down >/dev/null; then tgt_down || true; fi
  wait 2>/dev/null || true
  if [ "$status" != 0 ]; then
    echo "the demo failed; iserd said:"
    cat "$work"/*.log 2>/dev/null || true
  fi
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT

# step "what" command…: one line with the time it took; the command's output only if it fails.
step() {
  local what=$1 begin end
  shift
  begin=$(date +%s%N)
  if ! "$@" >"$work/step.out" 2>&1; then
    printf '  %-66s FAILED\n' "$what"
    cat "$work/step.out"
    return 1
  fi
  end=$(date +%s%N)
  printf '  %-66s %6d ms\n' "$what" $(((end - begin) / 1000000))
}

# Starts `iserd serve` with these arguments and waits for its ready line; sets `device`, `uri` and `daemon`.
start_iserd() {
  rm -f "$work/ready"
  mkfifo "$work/ready"
  node dist/bin/iserd.js serve "$@" --control-socket "$work/control.sock" >"$work/ready" 2>>"$work/iserd.log" &
  daemon=$!
  children+=("$daemon")
  local line
  read -r line <"$work/ready" || return 1
  device=$(sed -n 's/.*device=\([^ ]*\).*/\1/p' <<<"$line")
  uri=$(sed -n 's/.*uri=\([^ ]*\).*/\1/p' <<<"$line")
  export device uri
}

stop_iserd() {
  kill -TERM "$daemon"
  wait "$daemon"
}

# The closing table: what the daemon counted.
print_counters() {
  iserctl status --json --socket "$work/control.sock" | node -e '
    const { volumes, lanes } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    const [session] = volumes[0].sessions;
    const seconds = Number(process.argv[1]) / 1000;
    const registrations = lanes.flatMap((lane) => lane.registrations);
    const sum = (key) => registrations.reduce((total, entry) => total + entry[key], 0);
    const rows = {
      "bytes written": session.bytesWritten, "bytes read": session.bytesRead,
      "requests": session.reads + session.writes + session.others,
      "IOPS while attached": Math.round((session.reads + session.writes) / seconds),
      ...(registrations.length ? { "registration cache hits": sum("hits"), "registration cache misses": sum("misses"), "pinned bytes": sum("pinnedBytes") } : {}),
    };
    for (const [name, value] of Object.entries(rows)) console.log("  " + name.padEnd(28), String(value).padStart(14));
  ' "$1"
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }
