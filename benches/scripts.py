#!/usr/bin/env python3
"""What scripts leave to others.

    benches/scripts.py [--ferrock PATH] [--seconds N]

First: one client runs a script that spins for --seconds; 16 other connections GET random keys meanwhile, one request in
flight each, and before. Requests a second, p50, p99 and the worst, in ms. Then: a script that takes some 100 ms, from
one client and from two at once with keys of their own; two take as long as one where each has a core. How many cores
there were for them is told by the server's processor time over the time that passed.

Everything in three turns, each side in turn, because a machine is not the same from one minute to the next; what is
printed is the median of the turns.
"""

import argparse
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
TURNS = 3
# Processor time is counted in hundredths of a second: a script or two would be too few to tell it by.
SCRIPTS_A_TURN = 5
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


def figures(took, seconds):
    """Requests a second; p50, p99 and the worst in ms."""
    at = lambda share: took[int(len(took) * share)] * 1000
    return len(took) / seconds, at(0.5), at(0.99), took[-1] * 1000


def medians(turns):
    return [statistics.median(column) for column in zip(*turns)]


def show(what, turns):
    rate, p50, p99, worst = medians(turns)
    print(f"| {what} | {rate:,.0f} | {p50:.2f} | {p99:.2f} | {worst:.2f} |", flush=True)


def processor_seconds(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def read_beside_a_spinner(port, seconds):
    spinner = threading.Thread(
        target=lambda: Connection(port).call("EVAL", SPIN, 1, "spinning", int(time.time()), seconds + 3)
    )
    spinner.start()
    time.sleep(1)
    took = read_for(port, seconds)
    spinner.join()
    return took


def work(server, port, clients):
    """Milliseconds until all clients have their reply, and the cores that the server used meanwhile."""
    used, passed = processor_seconds(server), []
    for _ in range(SCRIPTS_A_TURN):
        threads = [
            threading.Thread(target=lambda n=n: Connection(port).call("EVAL", WORK, 1, f"work:{n}"))
            for n in range(clients)
        ]
        began = time.perf_counter()
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        passed.append(time.perf_counter() - began)
    cores = (processor_seconds(server) - used) / sum(passed)
    return statistics.median(passed) * 1000, cores


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
            alone, beside = [], []
            for _ in range(TURNS):
                alone.append(figures(read_for(port, options.seconds), options.seconds))
                beside.append(figures(read_beside_a_spinner(port, options.seconds), options.seconds))
            show("alone", alone)
            show("beside a script that spins", beside)

            work(server, port, 2)
            one, two = [], []
            for _ in range(TURNS):
                one.append(work(server, port, 1))
                two.append(work(server, port, 2))
            (one_ms, one_cores), (two_ms, two_cores) = medians(one), medians(two)
            print(
                f"\none script {one_ms:.0f} ms on {one_cores:.1f} cores, "
                f"two at once {two_ms:.0f} ms on {two_cores:.1f} cores"
            )
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
