#!/usr/bin/env python3
"""What scripts leave to others.

    benches/scripts.py [--ferrock PATH] [--seconds N]

First: one client runs a script that spins for --seconds; 16 other connections GET random keys meanwhile, one request in
flight each, and before. Requests a second, p50, p99 and the worst, in ms. Then: a script that takes some 100 ms, from
one client and from two at once with keys of their own; two take as long as one where each has a core.
"""

import argparse
import os
import socket
import subprocess
import tempfile
import threading
import time

KEYS = 100_000
READERS = 16
SPIN = "local n = 0 while redis.call('TIME')[1] - ARGV[1] < tonumber(ARGV[2]) do for i = 1, 1000 do n = n + i end end return n"
WORK = "local n = 0 for i = 1, 10000000 do n = n + i end redis.call('SET', KEYS[1], n) return n"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def encode(*words):
    words = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, *words):
        self.socket.sendall(encode(*words))
        reply = self.socket.recv(1 << 16)
        if reply[:1] == b"-":
            raise RuntimeError(reply.decode())
        return reply


def read_for(port, seconds):
    """Latencies in seconds, from a process of its own: this one's lock would be in the way."""
    code = f"""
import random, socket, sys, time
sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})
from scripts import Connection, KEYS, READERS, encode
import selectors
selector = selectors.DefaultSelector()
sent = {{}}
def ask(connection):
    sent[connection] = time.perf_counter()
    connection.socket.sendall(encode("GET", "key:%d" % random.randrange(KEYS)))
for _ in range(READERS):
    connection = Connection({port})
    selector.register(connection.socket, selectors.EVENT_READ, connection)
    ask(connection)
end = time.perf_counter() + {seconds}
took = []
while time.perf_counter() < end:
    for ready, _ in selector.select(1):
        ready.fileobj.recv(4096)
        took.append(time.perf_counter() - sent[ready.data])
        ask(ready.data)
print(*took)
"""
    done = subprocess.run(["python3", "-c", code], capture_output=True, text=True, check=True)
    return sorted(float(word) for word in done.stdout.split())


def show(what, took, seconds):
    at = lambda share: took[int(len(took) * share)] * 1000
    print(f"| {what} | {len(took) / seconds:,.0f} | {at(0.5):.2f} | {at(0.99):.2f} | {took[-1] * 1000:.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferrock", default="target/release/ferrock")
    parser.add_argument("--seconds", type=int, default=10)
    options = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            [options.ferrock, "server", "--port", str(port), "--dir", folder], stdout=subprocess.DEVNULL
        )
        try:
            while True:
                try:
                    client = Connection(port)
                    break
                except OSError:
                    time.sleep(0.05)
            for start in range(0, KEYS, 1000):
                client.call("MSET", *(word for key in range(start, start + 1000) for word in (f"key:{key}", "x" * 64)))
            print("| GETs of 16 connections | requests/s | p50 ms | p99 ms | worst ms |")
            print("| --- | --- | --- | --- | --- |")
            show("alone", read_for(port, options.seconds), options.seconds)
            spinner = threading.Thread(
                target=lambda: Connection(port).call("EVAL", SPIN, 1, "spinning", int(time.time()), options.seconds + 3)
            )
            spinner.start()
            time.sleep(1)
            show("beside a script that spins", read_for(port, options.seconds), options.seconds)
            spinner.join()

            def timed(clients):
                threads = [
                    threading.Thread(target=lambda n=n: Connection(port).call("EVAL", WORK, 1, f"work:{n}"))
                    for n in range(clients)
                ]
                began = time.perf_counter()
                [thread.start() for thread in threads]
                [thread.join() for thread in threads]
                return time.perf_counter() - began

            timed(2)
            alone, both = min(timed(1) for _ in range(5)), min(timed(2) for _ in range(5))
            print(f"\none script {alone * 1000:.0f} ms, two at once {both * 1000:.0f} ms")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
