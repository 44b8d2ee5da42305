#!/usr/bin/env python3
"""Times sorted sets of Ferrock beside redis-server in one run, in turns, and prints tables.

    benches/zsets.py [--ferrock PATH] [--members N] [--large N] [--requests N] [--rounds N] [--steps N]

First table: one sorted set of --members elements on both servers (redis-server with `appendonly yes,
appendfsync everysec`, Ferrock with `appendfsync everysec`), commands at random members and depths, 50
connections with one request in flight each, and 16; requests a second and the server's processor
time a request. The client is this process, so the processor times say more than the rates.
Second table: Ferrock alone, --members against --large elements. Third: a queue of 1,000 elements on Ferrock,
one ZADD and one ZPOPMIN a step, and a board of 100 members whose scores change all the time, tenth
by tenth of the run: a queue that slows down shows here.
"""

import argparse
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 50


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def encode(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Server:
    def __init__(self, name, command):
        self.name, self.port = name, free_port()
        self.directory = tempfile.mkdtemp(prefix=f"zsets-{name}-")
        words = [word.format(port=self.port, dir=self.directory) for word in command]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.connections = [self.connect() for _ in range(CONNECTIONS)]

    def connect(self):
        for _ in range(200):
            try:
                connection = socket.create_connection(("127.0.0.1", self.port))
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            except OSError:
                time.sleep(0.05)
        sys.exit(f"{self.name} did not start")

    def processor_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def ask(self, connection, requests, lines):
        """Sends requests and reads as many lines as their replies have."""
        connection.sendall(requests)
        self.read(connection, lines)

    def read(self, connection, lines):
        while lines > 0:
            received = connection.recv(1 << 16)
            if not received or received[:1] == b"-":
                sys.exit(f"{self.name}: {received[:200]!r}")
            lines -= received.count(b"\n")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def servers(options):
    redis = [options.redis, "--port", "{port}", "--dir", "{dir}", "--save", "", "--appendonly", "yes",
             "--appendfsync", "everysec"]
    return Server("redis", redis), ferrock(options)


def ferrock(options):
    return Server("ferrock", [options.ferrock, "server", "--port", "{port}", "--dir", "{dir}",
                              "--appendfsync", "everysec", "--maxmemory", options.maxmemory])


def fill(server, key, count, dice):
    """Members in the order of their scores first, which is quick; then a tenth of them moves."""
    for start in range(0, count, 1000):
        pairs = [word for number in range(start, min(start + 1000, count)) for word in (number, f"member:{number:08}")]
        server.ask(server.connections[0], encode("ZADD", key, *pairs), 1)
    for _ in range(0, min(count // 10, 100_000), 100):
        numbers = [dice.randrange(count) for _ in range(100)]
        pairs = [word for number in numbers for word in (dice.randrange(count), f"member:{number:08}")]
        server.ask(server.connections[0], encode("ZADD", key, *pairs), 1)


# name: a request for `count` members, and how many lines its reply has.
TESTS = {
    "ZADD, a new score": (lambda key, count, dice: encode(
        "ZADD", key, dice.randrange(count), f"member:{dice.randrange(count):08}"), 1),
    "ZINCRBY": (lambda key, count, dice: encode("ZINCRBY", key, 1, f"member:{dice.randrange(count):08}"), 2),
    "ZSCORE": (lambda key, count, dice: encode("ZSCORE", key, f"member:{dice.randrange(count):08}"), 2),
    "ZRANK": (lambda key, count, dice: encode("ZRANK", key, f"member:{dice.randrange(count):08}"), 1),
    "ZRANGE, 10 at a random rank": (lambda key, count, dice: (
        lambda start: encode("ZRANGE", key, start, start + 9))(dice.randrange(count - 10)), 21),
    "ZCOUNT, random scores": (lambda key, count, dice: encode(
        "ZCOUNT", key, dice.randrange(count // 2), dice.randrange(count // 2, count)), 1),
}


def load(server, test, key, count, pipeline, requests, seed):
    """Requests a second, and microseconds of the server's processor time a request."""
    make, lines = TESTS[test]
    dice = random.Random(seed)
    batches = [b"".join(make(key, count, dice) for _ in range(pipeline)) for _ in range(requests // pipeline)]
    used, began = server.processor_seconds(), time.perf_counter()
    for start in range(0, len(batches), CONNECTIONS):
        sent = list(zip(server.connections, batches[start:start + CONNECTIONS]))
        for connection, batch in sent:
            connection.sendall(batch)
        for connection, _ in sent:
            server.read(connection, lines * pipeline)
    elapsed = time.perf_counter() - began
    return requests / elapsed, (server.processor_seconds() - used) / requests * 1e6


def beside_redis(options):
    pair = servers(options)
    try:
        for server in pair:
            fill(server, "board", options.members, random.Random(1))
        print(f"\n{options.members:,} members, beside redis-server:\n")
        print("| command | in flight | Redis req/s | Ferrock req/s | ratio | CPU µs Redis | CPU µs Ferrock | CPU ratio |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for test in TESTS:
            for pipeline in (1, 16):
                results = {server.name: [] for server in pair}
                for turn in range(options.rounds):
                    for server in pair if turn % 2 == 0 else reversed(pair):
                        requests = options.requests * (3 if pipeline > 1 else 1)
                        result = load(server, test, "board", options.members, pipeline, requests, turn)
                        results[server.name].append(result)
                redis, ours = results["redis"], results["ferrock"]
                middle = lambda rows, column: statistics.median(row[column] for row in rows)
                rate = statistics.median(mine[0] / theirs[0] for mine, theirs in zip(ours, redis))
                processor = statistics.median(mine[1] / theirs[1] for mine, theirs in zip(ours, redis))
                print(f"| {test} | {pipeline} | {middle(redis, 0):,.0f} | {middle(ours, 0):,.0f} | {rate:.2f} "
                      f"| {middle(redis, 1):.1f} | {middle(ours, 1):.1f} | {processor:.2f} |", flush=True)
    finally:
        for server in pair:
            server.stop()


def small_and_large(options):
    server = ferrock(options)
    try:
        sizes = (options.members, options.large)
        for size in sizes:
            began = time.monotonic()
            fill(server, f"board:{size}", size, random.Random(1))
            print(f"\nfilled with {size:,} members in {time.monotonic() - began:.0f} s", flush=True)
        print(f"\nFerrock, {sizes[0]:,} against {sizes[1]:,} members, 50 in flight:\n")
        print("| command | CPU µs, small | CPU µs, large | req/s, small | req/s, large | time, large ÷ small |")
        print("| --- | --- | --- | --- | --- | --- |")
        for test in TESTS:
            results = {size: [] for size in sizes}
            for turn in range(options.rounds + 1):
                for size in sizes:
                    result = load(server, test, f"board:{size}", size, 1, options.requests, turn)
                    if turn > 0:  # The first turn brings the data into memory.
                        results[size].append(result)
            small, large = (results[size] for size in sizes)
            middle = lambda rows, column: statistics.median(row[column] for row in rows)
            times = statistics.median(few[0] / many[0] for few, many in zip(small, large))
            print(f"| {test} | {middle(small, 1):.1f} | {middle(large, 1):.1f} | {middle(small, 0):,.0f} "
                  f"| {middle(large, 0):,.0f} | {times:.2f} |", flush=True)
    finally:
        server.stop()


def steady(options):
    server = ferrock(options)
    try:
        connection = server.connections[0]
        print("\nA queue of 1,000: one ZADD and one ZPOPMIN a step; a board of 100: one ZINCRBY and one ZREVRANGE 0 9:\n")
        print("| steps so far | queue, µs a step | board, µs a step |")
        print("| --- | --- | --- |")
        pairs = [word for number in range(1000) for word in (number, f"job:{number:012}")]
        server.ask(connection, encode("ZADD", "queue", *pairs), 1)
        pairs = [word for number in range(100) for word in (number, f"player:{number:012}")]
        server.ask(connection, encode("ZADD", "leaders", *pairs), 1)
        dice, done = random.Random(1), 0
        for _ in range(10):
            spent = []
            for kind in ("queue", "board"):
                began = time.perf_counter()
                for start in range(done, done + options.steps // 10, 20):
                    if kind == "queue":
                        batch = b"".join(encode("ZADD", "queue", 1000 + step, f"job:{1000 + step:012}")
                                         + encode("ZPOPMIN", "queue") for step in range(start, start + 20))
                        server.ask(connection, batch, 20 * 6)
                    else:
                        batch = b"".join(encode("ZINCRBY", "leaders", 1, f"player:{dice.randrange(100):012}")
                                         + encode("ZREVRANGE", "leaders", 0, 9) for _ in range(20))
                        server.ask(connection, batch, 20 * 23)
                spent.append((time.perf_counter() - began) / (options.steps // 10) * 1e6)
            done += options.steps // 10
            print(f"| {done:,} | {spent[0]:.1f} | {spent[1]:.1f} |", flush=True)
    finally:
        server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferrock", default="target/release/ferrock")
    parser.add_argument("--redis", default="redis-server")
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--large", type=int, default=5_000_000)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--maxmemory", default="2gb")
    parser.add_argument("--tables", default="redis,large,steady")
    options = parser.parse_args()
    tables = {"redis": beside_redis, "large": small_and_large, "steady": steady}
    for table in options.tables.split(","):
        tables[table](options)


if __name__ == "__main__":
    main()
