#!/usr/bin/env bash
# Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer in native/build-asan, and runs tests with it.
#
#   native/sanitize.sh [TEST...]     default: the unit tests of the native reactor and system calls
#
# Leaks are not looked for: V8 and libnl keep memory until the process ends. The lifecycle tests count descriptors instead.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")/.."

build=native/build-asan
mkdir -p "$build"
cp -ru native/binding.gyp native/*.cc native/*.h native/reactor "$build"
[ ! -d native/system ] || cp -ru native/system "$build"
# Through npx, which hands over npm's settings (where the headers of Node are).
export ISERD_SANITIZE=yes
[ -f "$build/build/Makefile" ] || npx --no node-gyp configure --directory "$build" >/dev/null
npx --no node-gyp build --directory "$build"

if [ $# -eq 0 ]; then
  mapfile -t tests < <(find test/unit -name 'native-*.test.ts' -o -path '*system*' -name '*.test.ts' | sort)
  set -- "${tests[@]}"
fi
# Relative to native/build.
export ISERD_NATIVE_BUILD=../build-asan/build/Release
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
# Node itself is not instrumented: the runtimes must be there before it starts.
LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libubsan.so)" \
  node node_modules/mocha/bin/mocha.js --reporter test/helpers/reporter.cjs "$@"
