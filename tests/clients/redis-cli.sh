#!/usr/bin/env bash
# A session of redis-cli in the modes that look at a whole server.  usage: redis-cli.sh PORT
set -euo pipefail
PORT=$1
WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT

cli() { redis-cli -p "$PORT" "$@"; }
# expect PATTERN: standard input has a line that matches, else it is shown.
expect() {
    local text
    text="$(cat)"
    grep -qE "$1" <<<"$text" || { echo "no line matches $1:"; echo "$text"; return 1; }
}

cli flushall | expect '^OK'
awk 'BEGIN { for (i = 0; i < 1000; i++) printf "SET key:%d %d\r\n", i, i
             for (i = 0; i < 500; i++) printf "RPUSH queue %d\r\nHSET user field:%d %d\r\nSADD seen %d\r\n", i, i % 50, i, i % 70
             for (i = 0; i < 300; i++) printf "ZADD scores %d member:%d\r\nXADD events * n %d\r\n", i, i, i }' |
    cli --pipe | expect '^errors: 0, replies: 3100$'

cli --scan --pattern 'key:1?' | wc -l | expect '^10$'
cli --scan | sort -u | wc -l | expect '^1005$'
cli --bigkeys -i 0 >"$WORK/bigkeys"
expect 'Sampled 1005 keys' <"$WORK/bigkeys"
for found in '[Ll]ist.*queue.* has 500 items' '[Hh]ash.*user.* has 50 fields' '[Ss]et.*seen.* has 70 members' \
    '[Zz]set.*scores.* has 300 members' '[Ss]tream.*events.* has 300 entries' '[Ss]tring.*key:.* has 3 bytes'; do
    expect "$found" <"$WORK/bigkeys"
done
cli --memkeys -i 0 | expect '[Ll]ist.*queue.* has [0-9]+ bytes'
cli --memkeys-samples 0 -i 0 | expect 'Sampled 1005 keys'

cli config set maxmemory-policy allkeys-lfu | expect '^OK'
# How hot a key is comes with it. (The newline behind the payload is redis-cli's.)
cli dump key:7 | head -c -1 >"$WORK/payload"
cli -X payload restore hot 0 payload freq 200 <"$WORK/payload" | expect '^OK'
cli --hotkeys -i 0 | expect 'counter: (200|199|198).*hot'
cli del hot | expect '^1$'
cli config set maxmemory-policy noeviction | expect '^OK'

# Without a terminal it measures for one second.
timeout 60 redis-cli -p "$PORT" --latency -i 1 | expect '^[0-9]+ [0-9]+ [0-9.]+ [0-9]+$'
# It goes on until nobody reads. Its lines: a head, then figures beginning with the number of keys.
{ timeout 60 redis-cli -p "$PORT" --stat -i 0.05 || true; } | head -n 4 | expect '^1005 +[0-9]'

cli --rdb "$WORK/dump.rdb" 2>&1 | expect 'Transfer finished with success'
redis-check-rdb "$WORK/dump.rdb" | expect 'RDB looks OK'
cli --eval /dev/stdin user , field:1 <<<'return redis.call("HGET", KEYS[1], ARGV[1])' | expect '^451$'
cli -3 --json hgetall user | python3 -c 'import json, sys; assert json.load(sys.stdin)["field:49"] == "499"'
echo 'get key:8' | cli -x set copied | expect '^OK'
cli get copied | expect '^get key:8$'
printf 'ping\nget key:9\n' | cli | tail -n 1 | expect '^9$'
cli flushall | expect '^OK'
echo "redis-cli: passed"
