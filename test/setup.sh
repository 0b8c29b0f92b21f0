#!/usr/bin/env bash
# Makes this machine (Debian 12, Node.js >= 20.19 with npm) ready: Debian packages, npm packages, addon, JavaScript.
# Does only what is missing or out of date, says what it does, and is silent when there is nothing to do.
#
#   test/setup.sh [build | test | demo | package]
set -euo pipefail
cd "$(dirname "$0")/.."

# The project's list of Debian packages; what a profile needs is below.
build_packages=(
  g++ make python3 pkg-config
  libibverbs-dev librdmacm-dev libnl-3-dev libnl-genl-3-dev libsystemd-dev
)
vm_packages=(qemu-system-x86 busybox-static cpio kmod iproute2 rdma-core ibverbs-providers)
package_packages=(debhelper dpkg-dev)
demo_packages=(tgt qemu-utils libnbd-bin e2fsprogs util-linux)
test_packages=(
  qemu-block-extra libiscsi-bin open-iscsi python3-libnbd python3-pyverbs nbdkit nbd-client fio xfsprogs
  openssl clang-format-19 shellcheck xz-utils
  grub-pc-bin grub-common libvirt-clients libxml2-utils
  lintian mandoc bash-completion zsh systemd udev
)

profile=${1:-build}
case $profile in
  build) packages=("${build_packages[@]}") ;;
  demo) packages=("${build_packages[@]}" "${vm_packages[@]}" "${demo_packages[@]}") ;;
  package) packages=("${build_packages[@]}" "${package_packages[@]}") ;;
  test) packages=("${build_packages[@]}" "${package_packages[@]}" "${vm_packages[@]}" "${demo_packages[@]}" "${test_packages[@]}") ;;
  *)
    sed -n '5s/^# *//p' "$0" >&2
    exit 2
    ;;
esac

say() { echo "setup: $*" >&2; }

fail() {
  say "$*"
  exit 1
}

check_node() {
  command -v node >/dev/null || fail 'Node.js is missing: install version 20.19 or newer'
  command -v npm >/dev/null || fail 'npm is missing'
  node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1);
  ' || fail "Node.js $(node --version) is too old: version 20.19 or newer is needed"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "root or sudo is needed for: $*"
  fi
}

install_packages() {
  local missing
  command -v dpkg-query >/dev/null || fail 'this is no Debian system: install the packages listed in test/setup.sh yourself'
  # dpkg-query names what it does not know on standard error; only "installed ok" counts.
  mapfile -t missing < <(
    comm -23 \
      <(printf '%s\n' "${packages[@]}" | sort -u) \
      <(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' "${packages[@]}" 2>/dev/null | awk '/^ii/ { print $2 }' | sort -u)
  )
  if [ "${#missing[@]}" = 0 ]; then return; fi
  say "installing Debian packages: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

install_node_modules() {
  local installed=node_modules/.package-lock.json
  if [ -e "$installed" ] && [ ! package-lock.json -nt "$installed" ]; then return; fi
  say 'npm ci'
  # The addon, which npm would build too, is built below.
  npm ci --no-audit --no-fund --ignore-scripts >&2
  # npm leaves the time of an unchanged file alone.
  touch "$installed"
}

# newer_than FILE PATH...: whether FILE is missing or older than some file under PATH.
newer_than() {
  local file=$1
  shift
  [ ! -e "$file" ] || [ -n "$(find "$@" -newer "$file" -print -quit)" ]
}

build_native() {
  local addon=native/build/Release/iserd.node sources
  mapfile -t sources < <(find native -path 'native/build*' -prune -o -path native/test -prune -o -type f -print)
  newer_than "$addon" "${sources[@]}" || return 0
  say 'building the addon'
  local options=(--directory native --loglevel error) prefix
  # Node.js's own headers, when they came with it, spare node-gyp a download.
  prefix=$(dirname "$(dirname "$(realpath "$(command -v node)")")")
  if [ -e "$prefix/include/node/node_api.h" ]; then options+=("--nodedir=$prefix"); fi
  # A new file is seen only by a new configuration.
  node_modules/.bin/node-gyp configure build "${options[@]}" >&2
  touch "$addon"
}

build_typescript() {
  newer_than dist/.built src daemon tsconfig.json tsconfig.build.json package.json test/bundle.mjs || return 0
  say 'compiling TypeScript'
  node_modules/.bin/tsc -p tsconfig.build.json >&2
  rm -rf dist/bin dist/daemon
  node test/bundle.mjs
  touch dist/.built
}

check_node
install_packages
install_node_modules
build_native
build_typescript
# What checks alerts and metrics; it says itself when it has to be fetched.
if [ "$profile" = test ]; then test/promtool.sh --version >/dev/null; fi
