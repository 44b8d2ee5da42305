#!/usr/bin/env python3
"""Runs Redis' own Tcl test suite against a server, unit by unit.

The suite is not part of this tree: it is fetched as Debian's source package of
redis 7.0.15 into the user's cache folder and run in its external mode against
a server this script starts afresh for each unit. The units of HOSTED, which the
suite leaves out in that mode because they bring configuration files of their
own, start their servers themselves, through a script in the place of Redis'
binary. Each result is compared with
the list of tests that pass on redis-server 7.0.15 in the same mode
(`redis-7.0.15.names.gz`, names only). What does not apply to another server
stands with its reason in `not-applicable.txt`; the share of the rest that
must pass stands per unit in `required.txt`.

A unit goes on after a failing test. When the server dies, a test hangs or the
unit aborts, the unit is run again on a fresh server without the tests that
failed so far, so the remaining tests still count; a test that failed stays
failed.

    tests/conformance/run.py                          the units of required.txt
    tests/conformance/run.py unit/type/list unit/sort just these
    tests/conformance/run.py --server redis-server --baseline   renew the list
"""

import argparse
import collections
import concurrent.futures
import gzip
import itertools
import os
import pathlib
import queue
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "ferrock"
SUITE_VERSION = "7.0.15"
NAMES = HERE / "redis-7.0.15.names.gz"
NOT_APPLICABLE = HERE / "not-applicable.txt"
REQUIRED = HERE / "required.txt"

# Units whose servers the suite starts.
HOSTED = {"unit/acl", "unit/acl-v2", "unit/auth"}

# A unit that still loses tests after this many fresh starts keeps them lost.
ROUNDS_MAX = 12
SERVER_START_LIMIT_S = 60
# What Redis' own CI gives a server that is tested from outside.
SERVER_ARGUMENTS = [
    "--save", "", "--enable-protected-configs", "yes",
    "--enable-debug-command", "yes", "--enable-module-command", "yes",
]

# ---------------------------------------------------------------- the suite


def fetch_suite():
    """Returns the folder of the unpacked source package, fetching it once.

    apt-get gets its own lists folder and the machine's own sources turned
    into source-package sources, so neither root nor a change to the machine's
    configuration is needed.
    """
    folder = CACHE / "conformance"
    suite = folder / f"redis-{SUITE_VERSION}"
    if (suite / "tests" / "test_helper.tcl").exists():
        return suite
    need("apt-get", "dpkg-source")
    parts, lists = folder / "apt" / "parts", folder / "apt" / "lists"
    parts.mkdir(parents=True, exist_ok=True)
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    etc = pathlib.Path("/etc/apt")
    for source in etc.glob("sources.list.d/*.sources"):
        text = re.sub(r"(?m)^Types:.*$", "Types: deb-src", source.read_text())
        (parts / source.name).write_text(text)
    for source in [etc / "sources.list", *etc.glob("sources.list.d/*.list")]:
        if source.exists():
            lines = re.findall(r"(?m)^deb (.*)$", source.read_text())
            (parts / source.name).with_suffix(".list").write_text(
                "".join(f"deb-src {line}\n" for line in lines))
    options = [
        "-o", "Dir::Etc::SourceList=/dev/null", "-o", f"Dir::Etc::SourceParts={parts}",
        "-o", f"Dir::State::Lists={lists}", "-o", "Dir::Cache::pkgcache=",
        "-o", "Dir::Cache::srcpkgcache=", "-o", "APT::Sandbox::User=",
    ]
    # A third party's list without sources fails its part; what counts is
    # whether the package can be had afterwards.
    subprocess.run(["apt-get", *options, "update", "-q"], stdout=sys.stderr)
    subprocess.run(["apt-get", *options, "source", "-q", "redis"], cwd=folder, stdout=sys.stderr, check=True)
    if not suite.exists():
        sys.exit(f"conformance: the source package is not redis {SUITE_VERSION}: {sorted(os.listdir(folder))}")
    return suite


def need(*programs):
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        sys.exit(f"conformance: missing programs: {' '.join(missing)} "
                 "(apt-get install tcl redis-tools dpkg-dev)")


def private_copy(suite, folder):
    """A working copy of the suite for one worker: its temporary files collide otherwise."""
    shutil.copytree(suite / "tests", folder / "tests", symlinks=True)
    (folder / "src").mkdir()
    for name in ("redis-cli", "redis-benchmark"):
        (folder / "src" / name).symlink_to(shutil.which(name))
    for name in ("redis.conf", "COPYING"):
        if (suite / name).exists():
            shutil.copy(suite / name, folder / name)
    (folder / "tests" / "tmp").mkdir(exist_ok=True)
    # The suite flushes functions before every block; a server without functions
    # has none to flush, and must not lose the block for it.
    server = folder / "tests" / "support" / "server.tcl"
    server.write_text(server.read_text().replace("    r function flush\n", "    catch {r function flush}\n"))
    # What 7.0 calls a quicklist is, while it is small, a listpack since 7.2. A test that
    # only wants to be sure of the list it works with must not be lost for the word.
    asserts = folder / "tests" / "support" / "test.tcl"
    asserts.write_text(asserts.read_text().replace(
        "    assert_match $enc $val\n",
        "    if {$enc eq {quicklist} && $val eq {listpack}} {return}\n    assert_match $enc $val\n"))
    return folder


# --------------------------------------------------------------- the server


class Server:
    """A server process on a free port with a temporary directory."""

    def __init__(self, command, log):
        self.directory = tempfile.mkdtemp(prefix="ferrock-conformance-")
        self.port = free_port()
        self.log = log
        arguments = ["--port", str(self.port), "--dir", self.directory, *SERVER_ARGUMENTS]
        self.process = subprocess.Popen([*command, *arguments], stdout=log, stderr=log,
                                        stdin=subprocess.DEVNULL, start_new_session=True)
        self.wait()

    def wait(self):
        deadline = time.monotonic() + SERVER_START_LIMIT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if self.answers():
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"the server did not start; see {self.log.name}")

    def answers(self, limit_s=5):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=limit_s) as connection:
                connection.settimeout(limit_s)
                connection.sendall(b"PING\r\n")
                return connection.recv(64)[:1] in (b"+", b"-")
        except OSError:
            return False

    def dead(self):
        return self.process.poll() is not None

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


HOSTED_SCRIPT = """#!/bin/sh
echo " PID: $$"
port=$(sed -n 's/^port //p' "$1" | tail -n 1)
(
    tries=0
    until redis-cli -p "$port" PING > /dev/null 2>&1 || [ "$tries" -ge 500 ]; do
        tries=$((tries + 1))
        sleep 0.01
    done
    echo 'Ready to accept connections'
) &
"""


class Hosted:
    """In place of a server: lets the suite start this command wherever it would start Redis."""

    port = None

    def __init__(self, command, folder):
        script = folder / "src" / "redis-server"
        # The suite gives a configuration file, which has to come before any parameter.
        program = list(itertools.takewhile(lambda word: not word.startswith("--"), command))
        # It reads the process id and the end of the start from Redis' log.
        script.write_text(HOSTED_SCRIPT + f"exec {shlex.join(program)} \"$@\"\n")
        script.chmod(0o755)

    def dead(self):
        return False

    def answers(self):
        return True

    def stop(self):
        """Its servers are of the suite's process group and end with it."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# ------------------------------------------------------------- one unit, run

OK = re.compile(r"^\[ok\]: (.*) \(\d+ ms\)$")
ERR = re.compile(r"^\[err\]: (.*?)(?: in tests/\S+\.tcl)?$")
IGNORED = re.compile(r"^\[(?:ignore|skip)\]: (.*)$")
HANGING = re.compile(r"\(IN PROGRESS\) (.*)$")
FINISHED = re.compile(r"^\[\d+/\d+ done\]")
DIED = ("I/O error reading reply", "couldn't open socket: connection refused", "broken pipe")


class Round:
    """What one run of a unit said, in order."""

    def __init__(self):
        self.passed = []
        self.failed = []        # (name, message)
        self.hanging = None
        self.finished = False

    def read(self, lines):
        message = None
        for line in lines:
            if "The following tests failed" in line:
                break           # a summary of what was said above
            if match := OK.match(line):
                self.passed.append(match[1])
            elif match := ERR.match(line):
                message = []
                self.failed.append((match[1], message))
                continue
            elif match := HANGING.search(line):
                self.hanging = match[1]
            elif FINISHED.match(line):
                self.finished = True
            elif line.startswith("[exception]"):
                message = []
                self.failed.append(("(the unit aborted)", message))
                message.append(line)
                continue
            elif message is not None and not line.startswith("["):
                if len(message) < 12:
                    message.append(line)
                continue
            message = None


def run_round(unit, folder, server, skips, options):
    external = ["--host", "127.0.0.1", "--port", str(server.port)] if server.port else ["--clients", "1"]
    command = ["tclsh", "tests/test_helper.tcl", *external,
               "--baseport", str(base_port(folder)), "--single", unit, "--durable", "--no-latency", "--timeout", str(options.test_limit)]
    for name in skips:
        command += ["--skiptest", name]
    environment = {**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    timer = threading.Timer(options.unit_limit, end_group, [process.pid])
    timer.start()
    try:
        output = process.communicate()[0].decode("utf-8", "replace")
    finally:
        timer.cancel()
        end_group(process.pid)
    result = Round()
    result.read(output.splitlines())
    if not result.passed and not result.failed and not result.finished:
        result.failed.append(("(the unit did not run)", output.splitlines()[-12:]))
    if options.keep:
        with open(pathlib.Path(options.keep) / (unit.replace("/", "-") + ".log"), "a") as kept:
            kept.write(output)
    return result


def base_port(folder):
    """Where the suite looks for the port of its own test server: two runs that
    begin at the same moment must not look at the same place."""
    return 20000 + 64 * ((os.getpid() * 4 + int(folder.name)) % 300)


def end_group(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


class UnitResult:
    def __init__(self, unit):
        self.unit = unit
        self.passed = collections.Counter()
        self.failed = {}        # name -> message
        self.rounds = 0
        self.notes = []
        self.seconds = 0.0


def run_unit(unit, folder, options, expected, listed):
    """Runs a unit until every expected test has been seen or nothing new comes.

    What does not apply is left out from the start: a test that cannot pass
    often leaves configuration behind that fails the next ones.
    """
    result = UnitResult(unit)
    began = time.monotonic()
    never = [name for listed_unit, name in listed if listed_unit == unit]
    skips = never
    while result.rounds < ROUNDS_MAX and time.monotonic() - began < options.unit_limit:
        result.rounds += 1
        with open(pathlib.Path(options.logs) / (unit.replace("/", "-") + f".server.{result.rounds}.log"), "wb") as log:
            try:
                server = Hosted(options.server, folder) if unit in HOSTED else Server(options.server, log)
            except RuntimeError as error:
                result.notes.append(str(error))
                break
            try:
                said = run_round(unit, folder, server, skips, options)
                lost = server.dead() or not server.answers()
            finally:
                server.stop()
        new = take(result, said, lost)
        missing = [name for name, count in expected.items()
                   if result.passed[name] < count and name not in result.failed and name not in never]
        if not missing or not new:
            break
        skips = never + [name for name in result.failed if not name.startswith("(")]
    result.seconds = time.monotonic() - began
    return result


def take(result, said, lost):
    """Adds what a round said; returns whether skipping its failures may show more tests."""
    # Each round counts names on its own: a name met twice in one run is two tests.
    passed = collections.Counter(name for name in said.passed if name not in result.failed)
    failures = list(said.failed)
    if lost:
        result.notes.append("the server died or stopped answering")
        # Everything after the first lost connection says nothing about its test.
        for index, (_, message) in enumerate(failures):
            if any(sign in line for line in message for sign in DIED):
                failures = failures[:index + 1]
                break
    if said.hanging:
        failures.append((said.hanging, ["no progress: the test hangs"]))
    new = False
    for name, message in failures:
        if name not in result.failed:
            new |= not name.startswith("(")
            result.failed[name] = "\n".join(message)
    result.passed |= passed
    for name in result.failed:
        result.passed.pop(name, None)
    return new


# ------------------------------------------------------------------- lists


def read_names():
    """The tests that pass on redis-server: unit -> name -> how often it occurs."""
    names = collections.defaultdict(collections.Counter)
    if NAMES.exists():
        for line in gzip.decompress(NAMES.read_bytes()).decode().splitlines():
            unit, name = line.split("\t", 1)
            names[unit][name] += 1
    return names


def write_names(results, renewed):
    """A test counts when it passed in any run of the reference, so lists are merged."""
    names = read_names() if not renewed else collections.defaultdict(collections.Counter)
    for result in results:
        names[result.unit] |= result.passed
    lines = [f"{unit}\t{name}\n" for unit in sorted(names) for name in sorted(names[unit].elements())]
    NAMES.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    print(f"{len(lines)} names in {NAMES.name}")


def read_table(path):
    """Lines of tab-separated columns; `#` opens a comment."""
    rows = []
    if path.exists():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.strip() and not line.startswith("#"):
                rows.append((number, [column.strip() for column in line.split("\t") if column.strip()]))
    return rows


def read_not_applicable():
    listed = {}
    for number, columns in read_table(NOT_APPLICABLE):
        if len(columns) != 3:
            sys.exit(f"{NOT_APPLICABLE.name}:{number}: expected unit, name and reason, separated by tabs")
        listed[(columns[0], columns[1])] = columns[2]
    return listed


def read_required():
    required = {}
    for number, columns in read_table(REQUIRED):
        if len(columns) < 2:
            sys.exit(f"{REQUIRED.name}:{number}: expected unit and percentage")
        required[columns[0]] = float(columns[1])
    return required


# ------------------------------------------------------------------ the table


def report(results, names, listed, required, options):
    header = f"{'unit':32} {'passed':>7} {'failed':>7} {'not run':>8} {'of':>6} {'n/a':>5} {'share':>8} {'required':>9} {'s':>5}"
    print(header)
    print("-" * len(header))
    totals = collections.Counter()
    below = []
    for result in sorted(results, key=lambda each: each.unit):
        row = judge(result, names[result.unit], listed)
        totals.update(row)
        need_percent = options.require if options.require is not None else required.get(result.unit, 0.0)
        percent = share(row)
        if percent < need_percent:
            below.append(result.unit)
        mark = " <" if percent < need_percent else ""
        print(f"{result.unit:32} {row['passed']:7} {row['failed']:7} {row['lost']:8} {row['of']:6} "
              f"{row['listed']:5} {percent:7.2f}% {need_percent:8.1f}% {result.seconds:5.0f}{mark}")
    print("-" * len(header))
    print(f"{'all':32} {totals['passed']:7} {totals['failed']:7} {totals['lost']:8} {totals['of']:6} "
          f"{totals['listed']:5} {share(totals):7.2f}%")
    write_failures(results, names, listed, options)
    print(f"conformance: {totals['passed']} passed, {totals['failed'] + totals['lost']} failed")
    if below:
        print(f"conformance: below what is required: {' '.join(below)}")
    return not below


def share(row):
    return 100.0 * row["passed"] / row["of"] if row["of"] else 100.0


def judge(result, expected, listed):
    """Counts the expected tests of a unit; what is listed as not applicable is out of the sum."""
    row = collections.Counter(passed=0, failed=0, lost=0, of=0)
    row["listed"] = sum(1 for unit, _ in listed if unit == result.unit)
    for name, count in expected.items():
        if (result.unit, name) in listed:
            continue
        row["of"] += count
        passed = min(count, result.passed[name])
        row["passed"] += passed
        row["failed" if name in result.failed else "lost"] += count - passed
    return row


def write_failures(results, names, listed, options):
    path = pathlib.Path(options.logs) / "failures.txt"
    with open(path, "w") as out:
        for result in results:
            expected = names[result.unit]
            for note in result.notes:
                out.write(f"{result.unit}\tNOTE\t{note}\n")
            for name, message in result.failed.items():
                if (result.unit, name) in listed:
                    continue
                kind = "FAILED" if name in expected else "FAILED (on redis-server too, or outside a test)"
                out.write(f"{result.unit}\t{kind}\t{name}\n")
                out.writelines(f"    {line}\n" for line in message.splitlines())
            for name, count in expected.items():
                if result.passed[name] < count and name not in result.failed and (result.unit, name) not in listed:
                    out.write(f"{result.unit}\tNOT RUN\t{name}\n")
    print(f"failures with their messages: {path}")


# --------------------------------------------------------------------- main


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("units", nargs="*", help="units to run, e.g. unit/type/string (default: those of required.txt)")
    parser.add_argument("--server", default=None, help="server command (default: the release build, `ferrock server`)")
    parser.add_argument("--all", action="store_true", help="every unit of the reference list")
    parser.add_argument("--baseline", action="store_true", help="renew the list of names from this run of redis-server")
    parser.add_argument("--merge", action="store_true", help="with --baseline: add to the list instead of replacing it")
    parser.add_argument("--require", type=float, default=None, help="percentage every unit must reach (default: required.txt)")
    parser.add_argument("--unit-limit", type=int, default=900, help="seconds for a unit, all its rounds together")
    parser.add_argument("--test-limit", type=int, default=120, help="seconds without progress until a test counts as hanging")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="units run side by side")
    parser.add_argument("--logs", default=None, help="folder for server logs and failures (default: in the cache folder)")
    parser.add_argument("--keep", default=None, help="folder to keep the suite's own output in")
    options = parser.parse_args()
    options.server = shlex.split(options.server) if options.server else default_server()
    options.logs = options.logs or str(CACHE / "conformance" / "logs")
    for folder in (options.logs, options.keep):
        if folder:
            os.makedirs(folder, exist_ok=True)
    return options


def default_server():
    program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target") / "release" / "ferrock"
    if program.exists():
        # Since 7.2 small sets are listpacks, which the suite of 7.0 expects to be hashtables.
        return [str(program), "server", "--set-max-listpack-entries", "0"]
    sys.exit("conformance: no release build found; build it or give --server")


def units_of_suite(suite):
    text = (suite / "tests" / "test_helper.tcl").read_text()
    listed = re.search(r"set ::all_tests \{(.*?)\}", text, re.S)[1].split()
    return [unit for unit in listed if unit.startswith("unit/")]


def main():
    options = parse()
    need("tclsh", "redis-cli", "redis-benchmark")
    suite = fetch_suite()
    names, listed, required = read_names(), read_not_applicable(), read_required()
    units = options.units or (units_of_suite(suite) if options.baseline or options.all else list(required))
    unknown = [unit for unit in units if not (suite / "tests" / f"{unit}.tcl").exists()]
    if unknown:
        sys.exit(f"conformance: no such unit: {' '.join(unknown)}")
    with tempfile.TemporaryDirectory(prefix="ferrock-conformance-") as scratch:
        folders = queue.SimpleQueue()
        for job in range(options.jobs):
            folder = pathlib.Path(scratch) / str(job)
            folder.mkdir()
            folders.put(private_copy(suite, folder))

        def work(unit):
            folder = folders.get()
            try:
                result = run_unit(unit, folder, options, names[unit], listed)
            finally:
                folders.put(folder)
            print(f"{unit}: {sum(result.passed.values())} ok, {len(result.failed)} not ok, "
                  f"{result.rounds} rounds, {result.seconds:.0f} s", file=sys.stderr, flush=True)
            return result

        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            results = list(pool.map(work, units))
    if options.baseline:
        write_names(results, renewed=not options.merge)
        return 0
    return 0 if report(results, names, listed, required, options) else 1


if __name__ == "__main__":
    sys.exit(main())
