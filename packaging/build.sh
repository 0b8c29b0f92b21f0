#!/usr/bin/env bash
# Builds the Debian package of iserd into dist/package/, against this machine's libraries.
#
#   packaging/build.sh [VERSION]    default: the version in package.json
set -euo pipefail
cd "$(dirname "$0")/.."
bash test/setup.sh package

version=${1:-$(node -p "require('./package.json').version")}
tree=dist/package/iserd
mkdir -p "$tree"
# Compiled objects stay in the tree, and files keep their times: what has not changed is not compiled again.
rm -rf "$tree/debian" "$tree/dist" "$tree/packaging" "$tree/systemd"
mkdir -p "$tree/dist" "$tree/native"
cp -a dist/bin "$tree/dist/bin"
cp -a README.md CHANGELOG.md packaging systemd "$tree/"
cp -a packaging/debian "$tree/debian"
find native -mindepth 1 -maxdepth 1 ! -name 'build*' ! -name test -exec cp -a -t "$tree/native" {} +
ln -sfn "$PWD/node_modules" "$tree/node_modules"
# The bundles are ES modules; the version is what --version prints.
node -e '
  const { name, description, license, engines } = require("./package.json");
  console.log(JSON.stringify({ name, version: process.argv[1], description, license, type: "module", engines }, null, 2));
' "$version" >"$tree/package.json"
node packaging/copyright.mjs >"$tree/debian/copyright"

# Dates of the last commit, where there is one: the same sources give the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
cat >"$tree/debian/changelog" <<CHANGELOG
iserd ($version) unstable; urgency=medium

  * Version $version.

 -- iserd maintainers <maintainers@iserd.io>  $(date --utc --rfc-email --date="@$SOURCE_DATE_EPOCH")
CHANGELOG

prefix=$(dirname "$(dirname "$(realpath "$(command -v node)")")")
if [ -e "$prefix/include/node/node_api.h" ]; then export NODE_GYP_OPTIONS="--nodedir=$prefix"; fi
(cd "$tree" && dpkg-buildpackage --build=binary --unsigned-changes --unsigned-buildinfo --jobs="$(nproc)" >../build.log 2>&1) || {
  tail -n 40 dist/package/build.log >&2
  exit 1
}
echo "dist/package/iserd_${version}_$(dpkg --print-architecture).deb"
