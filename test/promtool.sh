#!/usr/bin/env bash
# Runs promtool, the checker that comes with Prometheus: the installed one, or else that of Debian's package, which is downloaded and unpacked
# into the cache. Nothing is installed, so that no server is started.
#
#   test/promtool.sh ARGUMENT...
set -euo pipefail

if command -v promtool >/dev/null; then exec promtool "$@"; fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/iserd
root=$cache/prometheus
if [ ! -x "$root/usr/bin/promtool" ]; then
  echo "downloading Debian's package of Prometheus into $cache" >&2
  mkdir -p "$cache"
  partial=$(mktemp -d "$cache/.partial-XXXXXX")
  trap 'rm -rf "$partial"' EXIT
  if ! (cd "$partial" && apt-get download -q prometheus >&2); then
    echo "${0##*/}: cannot download prometheus: run apt-get update" >&2
    exit 2
  fi
  dpkg-deb --fsys-tarfile "$partial"/*.deb | tar -x -C "$partial" ./usr/bin/promtool
  # Whoever is second when two runs download at once keeps the first one's copy.
  mkdir -p "$root/usr/bin"
  mv -n "$partial/usr/bin/promtool" "$root/usr/bin/promtool"
  rm -rf "$partial"
fi
exec "$root/usr/bin/promtool" "$@"
