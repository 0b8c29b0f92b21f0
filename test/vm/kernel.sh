# Sourced by bash: the stock kernel that virtual machines of the tests boot. `fail MESSAGE`, which must not return, is the sourcing
# script's.
# shellcheck shell=bash disable=SC2034 # the variables are for whoever sources this

cache=${XDG_CACHE_HOME:-$HOME/.cache}/iserd

# Prints the root of an unpacked kernel package; downloads it (without installing) when it is not in the cache.
kernel_root() {
  if [ -n "${ISERD_VM_KERNEL:-}" ]; then
    realpath "$ISERD_VM_KERNEL"
    return
  fi
  local package root partial
  package=$(apt-cache depends --important linux-image-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
  root=$cache/kernel/$package
  if [ -z "$package" ] || { [ ! -d "$root" ] && ! apt-cache show "$package" >/dev/null 2>&1; }; then
    # No package lists: whatever was downloaded before will do.
    root=$(find "$cache/kernel" -mindepth 1 -maxdepth 1 -name 'linux-image-*' 2>/dev/null | sort -V | tail -n 1)
    [ -n "$root" ] || fail 'no kernel package is known: run apt-get update'
  fi
  if [ ! -d "$root" ]; then
    echo "downloading $package into $cache" >&2
    mkdir -p "$cache/kernel"
    partial=$(mktemp -d "$cache/kernel/.partial-XXXXXX")
    (cd "$partial" && apt-get download -q "$package" >&2) || fail "cannot download $package"
    dpkg -x "$partial"/*.deb "$partial/root"
    # Whoever is second when two runs download at once keeps the first one's copy.
    mv -T "$partial/root" "$root" 2>/dev/null || true
    rm -rf "$partial"
  fi
  echo "$root"
}

# Sets root (of the unpacked package), version, modules (the directory of that version is in it) and kernel (the image).
find_kernel() {
  root=$(kernel_root)
  modules=$root/lib/modules
  [ -d "$modules" ] || modules=$root/usr/lib/modules
  version=$(find "$modules" -mindepth 1 -maxdepth 1 -printf '%f\n' | head -n 1)
  kernel=$root/boot/vmlinuz-$version
  [ -e "$kernel" ] || kernel=$modules/$version/vmlinuz
  [ -e "$kernel" ] || fail "no kernel image in $root"
  # depmod and modprobe look for modules under lib/ of their base directory.
  [ -e "$root/lib" ] || ln -s usr/lib "$root/lib"
  [ -e "$modules/$version/modules.dep.bin" ] || depmod -b "$root" "$version"
}
