#!/usr/bin/env python3
"""Turns Debian's package index into Redis commands on standard output.

    docs/tour/packages.py | redis-cli --pipe

Reads what `apt-get update` has left on this machine, through `apt-cache
dumpavail`. Each package becomes a hash `package:NAME` and a string
`description:NAME`; the hash `sections` counts packages by section, the counter
`packages` counts them all. A package listed in several versions is taken once,
as it first appears. `--limit N` stops after N packages.
"""

import argparse
import subprocess
import sys

FIELDS = ("Version", "Section", "Priority", "Architecture", "Installed-Size", "Size",
          "Maintainer", "Homepage", "Depends")


def paragraphs(lines):
    """Yields each paragraph as a dictionary; continuation lines join their field."""
    fields, name = {}, None
    for line in lines:
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, None
        elif line[0] in " \t" and name:
            fields[name] += "\n" + line.strip()
        elif ": " in line:
            name, value = line.rstrip("\n").split(": ", 1)
            fields[name] = value
    if fields:
        yield fields


def command(*words):
    """One command as RESP: an array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word.encode() if isinstance(word, str) else word
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def commands(package):
    name = package["Package"]
    words = ["HSET", f"package:{name}"]
    for field in FIELDS:
        if field in package:
            words += [field.lower(), package[field]]
    yield command(*words)
    yield command("SET", f"description:{name}", package.get("Description", ""))
    yield command("HINCRBY", "sections", package.get("Section", "unknown"), "1")
    yield command("INCR", "packages")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=None, help="stop after so many packages")
    options = parser.parse_args()
    index = subprocess.Popen(["apt-cache", "dumpavail"], stdout=subprocess.PIPE, text=True, errors="replace")
    seen = set()
    for package in paragraphs(index.stdout):
        if options.limit is not None and len(seen) >= options.limit:
            index.terminate()
            break
        if "Package" not in package or package["Package"] in seen:
            continue
        seen.add(package["Package"])
        for request in commands(package):
            sys.stdout.buffer.write(request)
    print(f"{len(seen)} packages", file=sys.stderr)


main()
