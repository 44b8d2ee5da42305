#!/usr/bin/env bash
# The console in a headless Chromium: starts a server, puts it under load, looks at the page until it
# shows real figures, fails if it does not, and writes docs/console.png. Wants Debian's packages
# chromium, chromium-driver and pngquant, and a build. Takes about two minutes.
#
#   docs/console/screenshot.sh [FILE]
set -euo pipefail
cd "$(dirname "$0")/../.."
OUT="${1:-docs/console.png}"
for program in chromium chromedriver pngquant; do
    command -v "$program" >/dev/null || { echo "no $program: apt-get install chromium chromium-driver pngquant"; exit 1; }
done
. tests/support/server.sh
WEB_PORT="$(free_port)"
start_server --metrics-port "$WEB_PORT" --slowlog-log-slower-than 2000 --maxmemory 256mb

LOADS=()
finish() {
    for load in "${LOADS[@]}"; do kill "$load" 2>/dev/null || true; done
    wait "${LOADS[@]}" 2>/dev/null || true
    stop_server
}
trap finish EXIT

cli() { redis-cli -p "$PORT" "$@" >/dev/null; }
load() { redis-benchmark -p "$PORT" -n 1000000000 -q "$@" >/dev/null 2>&1 & LOADS+=($!); }

# Values of some size, of several types.
fill() {
    cli EVAL 'for n = 1, 40000 do redis.call("HSET", KEYS[1], "customer:" .. n, ("x"):rep(60)) end' 1 customers
    cli EVAL 'for n = 1, 60000 do redis.call("ZADD", KEYS[1], n * 7 % 1000, "player:" .. n) end' 1 leaderboard
    cli EVAL 'for n = 1, 50000 do redis.call("RPUSH", KEYS[1], "job:" .. n .. ("y"):rep(80)) end' 1 queue:mail
    cli EVAL 'for n = 1, 30000 do redis.call("SADD", KEYS[1], "visitor:" .. n) end' 1 visitors:today
    cli EVAL 'for n = 1, 20000 do redis.call("XADD", KEYS[1], "*", "event", "order", "n", n) end' 1 events
    redis-cli -p "$PORT" -x SET report:2026 < <(head -c 3000000 /dev/urandom) >/dev/null
}
fill
load -c 12 -r 200000 -t set,get -d 200 -P 4
load -c 4 GET session:current
load -c 2 -r 50000 HGET customers customer:__rand_int__
load -c 2 -r 60000 ZINCRBY leaderboard 1 player:__rand_int__
load -c 1 -r 100000 SET token:__rand_int__ x EX 30
load -c 1 GET nobody:has:this
python3 docs/console/screenshot.py "http://127.0.0.1:$WEB_PORT/" "$OUT"
pngquant --force --output "$OUT" --strip 64 "$OUT"
