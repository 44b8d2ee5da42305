# Sourced by the test scripts: starts a server on a free port with a temporary
# directory, and stops it by its process id when the script ends.
#
#   SERVER="redis-server" . tests/support/server.sh    another server command
#   start_server [--parameter value]…                  sets PORT, SERVER_PID, SERVER_DIR
#   kill_server; restart_server                        kill -9, and again on the same directory

CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/ferrock"
TARGET="${CARGO_TARGET_DIR:-$PWD/target}"
SERVER="${SERVER:-$TARGET/release/ferrock server}"
SERVER_START_LIMIT_S=60

free_port() {
    /usr/bin/env python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_server() {
    SERVER_DIR="$(mktemp -d -t ferrock-test-XXXXXX)"
    SERVER_PARAMETERS=("$@")
    trap stop_server EXIT
    restart_server
}

restart_server() {
    local deadline=$((SECONDS + SERVER_START_LIMIT_S))
    PORT="$(free_port)"
    mkdir -p "$SERVER_DIR/data"
    # The command may hold arguments of its own, so it is split on purpose.
    # shellcheck disable=SC2086
    $SERVER --port "$PORT" --dir "$SERVER_DIR/data" "${SERVER_PARAMETERS[@]}" >>"$SERVER_DIR/log" 2>&1 &
    SERVER_PID=$!
    until [ "$(redis-cli -p "$PORT" ping 2>/dev/null)" = PONG ]; do
        if ! kill -0 "$SERVER_PID" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            echo "the server did not start:" >&2
            tail -n 30 "$SERVER_DIR/log" >&2
            return 1
        fi
        sleep 0.05
    done
}

kill_server() {
    kill -9 "$SERVER_PID" 2>/dev/null || true
    wait "$SERVER_PID" 2>/dev/null || true
}

stop_server() {
    kill_server
    rm -rf "$SERVER_DIR"
}
