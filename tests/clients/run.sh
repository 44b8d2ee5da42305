#!/usr/bin/env bash
# Sessions of real client libraries against one server: redis-py, ioredis
# and node-redis (installed into the user's cache folder), workloads of the job frameworks
# rq and BullMQ, redis-cli in its modes, then redis-benchmark. redis-rs has its session in tests/clients/main.rs.
#
#   tests/clients/run.sh                       the release build
#   SERVER=redis-server tests/clients/run.sh   the reference, to prove the sessions
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/support/server.sh

PYTHON_CLIENTS=("redis==5.2.1" "rq==1.16.2")
NODE_CLIENTS=("ioredis@5.4.2" "redis@5.8.0" "bullmq@5.34.0")

python_environment() {
    local folder="$CACHE/clients/python-${PYTHON_CLIENTS[*]}"
    folder="${folder// /-}"
    if [ ! -x "$folder/bin/python" ] || ! "$folder/bin/python" -c 'import redis, rq' 2>/dev/null; then
        python3 -m venv "$folder"
        "$folder/bin/pip" install --quiet "${PYTHON_CLIENTS[@]}"
    fi
    PYTHON="$folder/bin/python"
}

node_environment() {
    NODE_FOLDER="$CACHE/clients/node-${NODE_CLIENTS[*]}"
    NODE_FOLDER="${NODE_FOLDER// /-}"
    if [ ! -d "$NODE_FOLDER/node_modules/bullmq" ]; then
        mkdir -p "$NODE_FOLDER"
        npm install --silent --no-save --prefix "$NODE_FOLDER" "${NODE_CLIENTS[@]}"
    fi
}

# Counted, so that the end says what ran.
passed=0
session() {
    echo "--- $*"
    "$@"
    passed=$((passed + 1))
}

benchmark() {
    local output
    output="$(redis-benchmark -p "$PORT" -t ping,set,get,incr,mset,hset -n 20000 -q "$@" 2>&1 | tr '\r' '\n' | grep -v '^$' || true)"
    echo "$output" | grep 'requests per second' || { echo "$output"; return 1; }
    # It tells an error of the server in its output and goes on.
    if echo "$output" | grep -qiE 'error|err:'; then
        echo "$output"
        return 1
    fi
    [ "$(echo "$output" | grep -c 'requests per second')" -ge 7 ]
}

python_environment
node_environment
start_server
session "$PYTHON" tests/clients/session.py "$PORT" 2
session "$PYTHON" tests/clients/session.py "$PORT" 3
cp tests/clients/session.mjs "$NODE_FOLDER/session.mjs"
session node "$NODE_FOLDER/session.mjs" "$PORT"
session "$PYTHON" tests/clients/jobs.py "$PORT"
cp tests/clients/jobs.mjs "$NODE_FOLDER/jobs.mjs"
session node "$NODE_FOLDER/jobs.mjs" "$PORT"
session tests/clients/redis-cli.sh "$PORT"
session benchmark
session benchmark -P 16
echo "clients: $passed passed, 0 failed"
