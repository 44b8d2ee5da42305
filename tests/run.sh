#!/usr/bin/env bash
# Sets up and runs all the tests: the README's second command. On Debian or
# Ubuntu it needs nothing but a Rust toolchain; what is missing it installs with
# apt-get (as root, or through sudo). Everything it fetches lies in the user's
# cache folder. The last line counts what passed and what failed.
#
#   tests/run.sh             everything, sized for CI (about 15 minutes once built)
#   tests/run.sh rust        the build and the Rust tests only
#   tests/run.sh setup       only installs what is missing
#
# Dials: FERROCK_DIFFERENTIAL_STEPS, FERROCK_CRASH_ROUNDS (docs/testing.md names them all).
set -uo pipefail
cd "$(dirname "$0")/.."

# Where `cargo run` builds as well, so that RocksDB is compiled once.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export SERVER="$CARGO_TARGET_DIR/release/ferrock server"
export FERROCK_DIFFERENTIAL_STEPS="${FERROCK_DIFFERENTIAL_STEPS:-60000}"
export FERROCK_CRASH_ROUNDS="${FERROCK_CRASH_ROUNDS:-3}"

passed=0
failed=0
failures=()

# A step that prints "N passed, M failed" counts with those numbers, any other as one.
step() {
    local name=$1
    shift
    echo
    echo "=== $name"
    local output status began=$SECONDS
    output="$(mktemp)"
    "$@" 2>&1 | tee "$output"
    status=${PIPESTATUS[0]}
    local ok bad
    ok="$(sed -nE 's/.*[^0-9]([0-9]+) passed.*/\1/p' <(sed 's/^/ /' "$output" | grep -E 'passed[;,(]') | awk '{ sum += $1 } END { print sum + 0 }')"
    bad="$(sed -nE 's/.*[^0-9]([0-9]+) failed.*/\1/p' <(sed 's/^/ /' "$output" | grep -E '[0-9] failed') | awk '{ sum += $1 } END { print sum + 0 }')"
    rm -f "$output"
    # A step may fail without a count, and conformance may pass with some tests failing.
    if [ "$status" -eq 0 ]; then
        passed=$((passed + (ok > 0 ? ok : 1)))
        echo "--- $name: passed in $((SECONDS - began)) s"
    else
        passed=$((passed + ok))
        failed=$((failed + (bad > 0 ? bad : 1)))
        failures+=("$name")
        echo "--- $name: FAILED in $((SECONDS - began)) s"
    fi
}

rust_tests() {
    if command -v cargo-nextest >/dev/null; then
        cargo nextest run --release --no-fail-fast
    else
        cargo test --release --no-fail-fast
    fi
}

packaging/setup.sh tests || { echo "setting up failed"; exit 1; }
[ "${1:-all}" = setup ] && exit 0
step "build" cargo build --release
step "unit, end-to-end, golden, differential and crash tests" rust_tests
if [ "${1:-all}" = all ]; then
    step "conformance: Redis' own suite" tests/conformance/run.py
    step "clients" tests/clients/run.sh
    step "tour" docs/tour/run.sh
fi

echo
[ "$failed" -eq 0 ] || echo "failed: ${failures[*]}"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
