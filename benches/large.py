#!/usr/bin/env python3
"""Times the deletion of large things: DEL of a hash of many fields, FLUSHALL of many keys, and how
long their disk space takes to come back.

    benches/large.py [--ferrock PATH] [--fields N] [--keys N] [--wait SECONDS]

Prints the reply times in milliseconds and the size of the data directory before, just after and
while waiting.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


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
        self.reader = self.socket.makefile("rb")

    def send(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(parts))

    def read(self):
        line = self.reader.readline().strip()
        if line[:1] == b"-":
            sys.exit(line.decode())
        return line

    def timed(self, *words):
        began = time.perf_counter()
        self.send(*words)
        reply = self.read()
        return (time.perf_counter() - began) * 1000, reply.decode()


def megabytes(directory):
    total = 0
    for folder, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.stat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return total / 1e6


def watch(directory, before, wait):
    began = time.monotonic()
    while time.monotonic() - began < wait:
        now = megabytes(directory)
        if now < before * 0.25:
            break
        time.sleep(1)
    print(f"  space: {before:.0f} MB before, {megabytes(directory):.0f} MB after {time.monotonic() - began:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferrock", default="target/release/ferrock")
    parser.add_argument("--fields", type=int, default=5_000_000)
    parser.add_argument("--keys", type=int, default=5_000_000)
    parser.add_argument("--wait", type=int, default=120)
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="large-")
    port = free_port()
    server = subprocess.Popen([options.ferrock, "server", "--port", str(port), "--dir", directory],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        client = Client(port)
        value = "v" * 32
        for start in range(0, options.fields, 1000):
            words = [word for number in range(start, start + 1000) for word in (f"field:{number:08}", value)]
            client.send("HSET", "large", *words)
            if start % 10_000 == 9_000:
                for _ in range(10):
                    client.read()
        client.timed("PING")
        before = megabytes(directory)
        elapsed, reply = client.timed("DEL", "large")
        print(f"DEL of a hash of {options.fields:,} fields: {elapsed:.2f} ms ({reply})")
        watch(directory, before, options.wait)
        for start in range(0, options.keys, 1000):
            words = [word for number in range(start, start + 1000) for word in (f"key:{number:08}", value)]
            client.send("MSET", *words)
            if start % 10_000 == 9_000:
                for _ in range(10):
                    client.read()
        elapsed, reply = client.timed("DBSIZE")
        print(f"DBSIZE: {elapsed:.2f} ms ({reply})")
        before = megabytes(directory)
        elapsed, reply = client.timed("FLUSHALL")
        print(f"FLUSHALL of {options.keys:,} keys: {elapsed:.2f} ms ({reply})")
        watch(directory, before, options.wait)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
