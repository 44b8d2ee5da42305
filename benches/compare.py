#!/usr/bin/env python3
"""Times Ferrock beside redis-server in one run, in turns, and prints a table of ratios.

    benches/compare.py [--ferrock PATH] [--rounds N] [--requests N] [--tests get,set,…] [--pipeline 1,16]

Both servers run on free loopback ports with temporary directories: redis-server with
`appendonly yes, appendfsync everysec`, Ferrock with `appendfsync everysec`. The load is
redis-benchmark (one process, 50 clients, 64-byte values, 100,000 keys). Each round runs every
test on one server, then on the other, the order changing by round; what is printed is
the median of the rounds' ratios (Ferrock ÷ Redis), and each server's processor time (user +
system, of all its threads) per request.
"""

import argparse
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")

# name: arguments of redis-benchmark; __rand_int__ runs over the keyspace of -r.
TESTS = {
    "get": ["GET", "key:__rand_int__"],
    "set": ["SET", "key:__rand_int__", "{value}"],
    "incr": ["INCR", "counter:__rand_int__"],
    "mset": ["MSET"] + [word for _ in range(10) for word in ("key:__rand_int__", "{value}")],
    "mget": ["MGET"] + ["key:__rand_int__"] * 10,
    "hset": ["HSET", "hash:__rand_int__", "field", "{value}"],
    "hget": ["HGET", "hash:__rand_int__", "field"],
    "hset-large": ["HSET", "large", "field:__rand_int__", "{value}"],
    "hget-large": ["HGET", "large", "field:__rand_int__"],
    "hgetall": ["HGETALL", "hash:__rand_int__"],
    "lpush": ["LPUSH", "list", "{value}"],
    "rpop": ["RPOP", "list"],
    "lrange": ["LRANGE", "list", "0", "9"],
    "sadd": ["SADD", "set", "element:__rand_int__"],
    "sismember": ["SISMEMBER", "set", "element:__rand_int__"],
    "zadd": ["ZADD", "zset", "__rand_int__", "element:__rand_int__"],
    "zscore": ["ZSCORE", "zset", "element:__rand_int__"],
    "zrank": ["ZRANK", "zset", "element:__rand_int__"],
    "zrange": ["ZRANGE", "zset", "0", "9"],
    "xadd": ["XADD", "stream", "*", "field", "{value}"],
    "xadd-capped": ["XADD", "capped", "MAXLEN", "~", "1000", "*", "field", "{value}"],
    "xadd-many": ["XADD", "stream:__rand_int__", "*", "field", "{value}"],
    "xrange": ["XRANGE", "stream", "-", "+", "COUNT", "10"],
    "xread": ["XREAD", "COUNT", "10", "STREAMS", "stream", "0"],
    "expire": ["EXPIRE", "key:__rand_int__", "1000"],
    "eval": ["EVAL", "return redis.call('GET', KEYS[1])", "1", "key:__rand_int__"],
    "eval-set": ["EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "key:__rand_int__", "{value}"],
    "ping": ["PING"],
}


# What has to be there before a test, by the test that brings it.
FILLED_BY = {
    "get": "set", "set": "set", "mset": "set", "mget": "set", "expire": "set", "incr": "incr",
    "eval": "set", "eval-set": "set",
    "hset": "hset", "hget": "hset", "hgetall": "hset", "hset-large": "hset-large", "hget-large": "hset-large",
    "rpop": "lpush", "lrange": "lpush", "sadd": "sadd", "sismember": "sadd",
    "zadd": "zadd", "zscore": "zadd", "zrank": "zadd", "zrange": "zadd", "xrange": "xadd", "xread": "xadd",
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    def __init__(self, name, command, port):
        self.name, self.port = name, port
        self.directory = tempfile.mkdtemp(prefix=f"compare-{name}-")
        words = [word.format(port=port, dir=self.directory) for word in command]
        self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                time.sleep(0.05)
        sys.exit(f"{name} did not start: {' '.join(words)}")

    def processor_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def load(server, words, options, pipeline, requests):
    """Runs one load; answers requests a second, microseconds of processor a request, p50 and p99 in ms."""
    before = server.processor_seconds()
    command = ["redis-benchmark", "-p", str(server.port), "-n", str(requests), "-c", str(options.clients),
               "-P", str(pipeline), "-r", str(options.keys), "--csv"] + words
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if done.returncode != 0 or "ERR" in done.stdout + done.stderr:
        sys.exit(f"{server.name}: {' '.join(command[:12])}…: {done.stdout}{done.stderr}")
    used = server.processor_seconds() - before
    figures = [field.strip('"') for field in done.stdout.strip().splitlines()[-1].rsplit(",", 7)]
    return float(figures[1]), used / requests * 1e6, float(figures[4]), float(figures[6])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ferrock", default="target/release/ferrock")
    parser.add_argument("--redis", default="redis-server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--tests", default="get,set")
    parser.add_argument("--pipeline", default="1,16")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=64)
    parser.add_argument("--appendfsync", default="everysec")
    options = parser.parse_args()
    sync = options.appendfsync
    servers = [
        Server("redis", [options.redis, "--port", "{port}", "--dir", "{dir}", "--save", "", "--appendonly", "yes",
                         "--appendfsync", sync], free_port()),
        Server("ferrock", [options.ferrock, "server", "--port", "{port}", "--dir", "{dir}",
                           "--appendfsync", sync], free_port()),
    ]
    value = "x" * options.bytes
    try:
        for server in servers:
            for name in sorted({FILLED_BY[test] for test in options.tests.split(",") if test in FILLED_BY}):
                words = [word.replace("{value}", value) for word in TESTS[name]]
                load(server, words, options, 16, options.keys * 3)
        print("| test | -P | Redis req/s | Ferrock req/s | ratio | CPU µs Redis | CPU µs Ferrock | CPU ratio | p99 ms Redis | p99 ms Ferrock |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
        for name in options.tests.split(","):
            words = [word.replace("{value}", value) for word in TESTS[name]]
            for pipeline in map(int, options.pipeline.split(",")):
                requests = options.requests * (4 if pipeline > 1 else 1)
                results = {server.name: [] for server in servers}
                for round_number in range(options.rounds):
                    for server in servers if round_number % 2 == 0 else reversed(servers):
                        results[server.name].append(load(server, words, options, pipeline, requests))
                median = lambda rows, column: statistics.median(row[column] for row in rows)
                redis, ferrock = results["redis"], results["ferrock"]
                ratio = statistics.median(ours[0] / theirs[0] for ours, theirs in zip(ferrock, redis))
                cpu = statistics.median(ours[1] / theirs[1] for ours, theirs in zip(ferrock, redis))
                print(f"| {name} | {pipeline} | {median(redis, 0):,.0f} | {median(ferrock, 0):,.0f} | {ratio:.2f} "
                      f"| {median(redis, 1):.2f} | {median(ferrock, 1):.2f} | {cpu:.2f} "
                      f"| {median(redis, 3):.2f} | {median(ferrock, 3):.2f} |", flush=True)
    finally:
        for server in servers:
            server.stop()


if __name__ == "__main__":
    main()
