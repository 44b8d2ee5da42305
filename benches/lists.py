#!/usr/bin/env python3
"""Times what must not depend on the history or the size of a list: popping from a queue that has
carried millions of elements, and LINDEX, LRANGE, LSET deep in a long one, before and after it
was cut into many runs.

    benches/lists.py [--ferrock PATH] [--queue N] [--length N] [--inserts N]

Prints microseconds per command, one client without pipelining, so a round trip is in all of them.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BATCH = 500
PIPELINE = 50


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Client:
    def __init__(self, port):
        for _ in range(200):
            try:
                self.socket = socket.create_connection(("127.0.0.1", port))
                break
            except OSError:
                time.sleep(0.05)
        else:
            sys.exit("the server did not start")
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def send(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            word = str(word).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(parts))

    def read(self):
        line = self.reader.readline()
        kind, rest = line[:1], line[1:].strip()
        if kind == b"-":
            sys.exit(rest.decode())
        if kind == b"$":
            length = int(rest)
            return None if length < 0 else self.reader.read(length + 2)[:-2]
        if kind == b"*":
            return [self.read() for _ in range(int(rest))]
        return rest

    def call(self, *words):
        self.send(*words)
        return self.read()

    def each_us(self, count, words):
        began = time.perf_counter()
        for _ in range(count):
            self.call(*words())
        return (time.perf_counter() - began) / count * 1e6


def fill(client, key, first, count):
    for start in range(first, first + count, BATCH * PIPELINE):
        batches = range(start, min(start + BATCH * PIPELINE, first + count), BATCH)
        for at in batches:
            client.send("RPUSH", key, *range(at, min(at + BATCH, first + count)))
        for _ in batches:
            client.read()


def drain(client, key, count):
    for start in range(0, count, BATCH * PIPELINE):
        batches = range(start, min(start + BATCH * PIPELINE, count), BATCH)
        for at in batches:
            client.send("LPOP", key, min(BATCH, count - at))
        for _ in batches:
            client.read()


def queue(client, carried):
    client.call("RPUSH", "fresh", *range(2000))
    client.call("RPUSH", "used", *range(2000))
    step = min(carried, 1_000_000)
    for start in range(0, carried, step):
        fill(client, "used", 2000 + start, step)
        drain(client, "used", step)
    assert client.call("LLEN", "used") == b"2000"
    assert client.call("LINDEX", "used", 0) == str(carried).encode()
    for _ in range(3):
        for key in ("fresh", "used"):
            time_pop = client.each_us(600, lambda: ("LPOP", key))
            time_push = client.each_us(600, lambda: ("RPUSH", key, "x"))
            time_range = client.each_us(300, lambda: ("LRANGE", key, 0, 99))
            print(f"queue {key:6} LPOP {time_pop:7.1f}   RPUSH {time_push:7.1f}   LRANGE of 100 {time_range:7.1f}")
    client.call("DEL", "used")


def deep(client, length, what):
    at = lambda: random.randrange(length * 9 // 10)
    for name, count, words in [
        ("LINDEX at the ends", 2000, lambda: ("LINDEX", "long", random.choice([0, -1]))),
        ("LINDEX anywhere", 2000, lambda: ("LINDEX", "long", at())),
        ("LSET anywhere", 2000, lambda: ("LSET", "long", at(), "y")),
        ("LRANGE of 100", 500, lambda: (lambda start: ("LRANGE", "long", start, start + 99))(at())),
        ("LPOP", 500, lambda: ("LPOP", "long")),
        ("RPUSH", 500, lambda: ("RPUSH", "long", "z")),
    ]:
        print(f"{what}: {name:20} {client.each_us(count, words):8.1f}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--ferrock", default="target/release/ferrock")
    options.add_argument("--queue", type=int, default=10_000_000)
    options.add_argument("--length", type=int, default=5_000_000)
    options.add_argument("--inserts", type=int, default=3000)
    options = options.parse_args()
    directory, port = tempfile.mkdtemp(prefix="ferrock-lists-"), free_port()
    server = subprocess.Popen(
        [options.ferrock, "server", "--port", str(port), "--dir", directory], stdout=subprocess.DEVNULL)
    try:
        client = Client(port)
        queue(client, options.queue)
        fill(client, "long", 0, options.length)
        assert client.call("LINDEX", "long", options.length // 2) == str(options.length // 2).encode()
        deep(client, options.length, "one run")
        # Near the front, where the pivot is soon found; each parts a run.
        for _ in range(options.inserts):
            client.call("LINSERT", "long", "BEFORE", client.call("LINDEX", "long", random.randrange(3000)), "new")
        began = time.perf_counter()
        removed = client.call("LREM", "long", 0, "y")
        print(f"LREM of {removed.decode()} in {options.length}: {time.perf_counter() - began:.2f} s")
        deep(client, options.length, "many runs")
        began = time.perf_counter()
        client.call("LTRIM", "long", options.length // 3, -1)
        print(f"LTRIM of a third: {(time.perf_counter() - began) * 1000:.1f} ms")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
