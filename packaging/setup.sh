#!/usr/bin/env bash
# Installs what is missing on Debian or Ubuntu, as root or through sudo. The two
# commands of README.md begin with it; where nothing is missing it does nothing.
#
#   packaging/setup.sh          what the build needs, and redis-cli
#   packaging/setup.sh tests    what the tests need as well
set -euo pipefail

# Program and the package that brings it.
programs_for_building='
c++ g++
make make
redis-cli redis-tools
'
programs_for_tests='
redis-server redis-server
openssl openssl
tclsh tcl
dpkg-source dpkg-dev
python3 python3
node nodejs
npm npm
'

missing_packages() {
    while read -r program package; do
        [ -z "$program" ] || command -v "$program" >/dev/null || echo "$package"
    done
    # RocksDB's bindings are made with libclang, which is no program. Not every libclang-*.so is
    # it: libclang-cpp, which comes with other packages, is another library.
    compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null ||
        compgen -G '/usr/lib/llvm-*/lib/libclang-[0-9]*.so*' >/dev/null || echo libclang-dev
    [ "$1" != tests ] || python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

what=${1:-build}
programs=$programs_for_building
[ "$what" != tests ] || programs+=$programs_for_tests
mapfile -t missing < <(missing_packages "$what" <<<"$programs" | sort -u)
if [ "${#missing[@]}" -gt 0 ]; then
    echo "installing: ${missing[*]}"
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -q
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"
    # The tests start servers of their own; the service of the package would keep Redis' port.
    if [[ " ${missing[*]} " == *" redis-server "* ]] && command -v systemctl >/dev/null; then
        "${as_root[@]}" systemctl disable --now redis-server || true
    fi
fi
command -v cargo >/dev/null || { echo "no cargo on the PATH: Ferrock needs a Rust toolchain, 1.88 or newer"; exit 1; }
