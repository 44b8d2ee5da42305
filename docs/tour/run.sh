#!/usr/bin/env bash
# The tour of docs/tour.md without hands: loads Debian's package index, asks,
# kills the server with -9, starts it again, and holds every answer against the
# one before. Ends with a line that counts.
#
#   docs/tour/run.sh                        the release build
#   SERVER="redis-server --appendonly yes" docs/tour/run.sh   the reference
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/support/server.sh

cli() { redis-cli -p "$PORT" "$@"; }

# Everything the tour asks, as one text that must not change over a crash.
answers() {
    cli DBSIZE
    cli GET packages
    cli HGETALL package:bash | sort
    cli GET description:redis-server
    cli HGETALL sections | sort
    cli STRLEN description:python3
    cli HGET package:coreutils version
    cli --scan --pattern 'package:libc*' | sort | sha1sum
    cli --scan --pattern 'description:*' | wc -l
}

start_server
docs/tour/packages.py >"$SERVER_DIR/commands"
before=$SECONDS
cli --pipe <"$SERVER_DIR/commands" | tee "$SERVER_DIR/pipe" | tail -n 1
grep -q 'errors: 0' "$SERVER_DIR/pipe"
echo "loaded in $((SECONDS - before)) s"
packages="$(cli GET packages)"
[ "$packages" -gt 1000 ] || { echo "only $packages packages: run apt-get update first"; exit 1; }
[ "$(cli DBSIZE)" = $((packages * 2 + 2)) ]
[ "$(cli HVALS sections | awk '{ sum += $1 } END { print sum }')" = "$packages" ]
answers >"$SERVER_DIR/first"

# Writes that were acknowledged a moment before the end count as well.
cli SET last written >/dev/null
kill_server
before=$SECONDS
restart_server
echo "restarted after kill -9 in $((SECONDS - before)) s"
[ "$(cli GET last)" = written ]
cli DEL last >/dev/null
answers >"$SERVER_DIR/second"
diff "$SERVER_DIR/first" "$SERVER_DIR/second"
echo "tour: $packages packages, all there after kill -9; 1 passed, 0 failed"
