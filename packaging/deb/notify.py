"""Plays systemd for the installed server: starts what ExecStart says, as the unit's user, in a root
directory, and reads what the server tells of itself.

    notify.py ROOT
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys

LIMIT_S = 60
SOCKET = "run/notify"

root = pathlib.Path(sys.argv[1])
unit = (root / "lib/systemd/system/ferrock.service").read_text()
settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]

notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notices.settimeout(LIMIT_S)
notices.bind(str(root / SOCKET))
os.chmod(root / SOCKET, 0o777)


def start():
    # Under systemd these come from RuntimeDirectory and StateDirectory.
    command = ["/usr/sbin/chroot", f"--userspec={settings['User']}:{settings['Group']}", str(root)]
    command += settings["ExecStart"].split() + ["--port", str(port)]
    environment = {"PATH": "/usr/bin", "NOTIFY_SOCKET": f"/{SOCKET}", "WATCHDOG_USEC": "1000000"}
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, umask=int(settings["UMask"], 8))


def expect(notice):
    while True:
        lines = notices.recv(4096).decode().splitlines()
        if notice in lines:
            return


def ask(*words):
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as connection:
        request = b"*%d\r\n" % len(words)
        for word in words:
            request += b"$%d\r\n%s\r\n" % (len(word), word.encode())
        connection.sendall(request)
        return connection.recv(65536).decode()


def stop(server):
    server.send_signal(signal.SIGTERM)
    expect("STOPPING=1")
    assert server.wait(LIMIT_S) == 0, server.returncode


server = start()
try:
    expect("STATUS=opening the database in /var/lib/ferrock")
    expect("READY=1")
    expect("WATCHDOG=1")
    assert ask("SET", "key", "value") == "+OK\r\n"
    # The server may put a new file in the place of the one that the package brought.
    assert ask("CONFIG", "SET", "maxclients", "123") == "+OK\r\n"
    assert ask("CONFIG", "REWRITE") == "+OK\r\n"
    assert ask("CONFIG", "SET", "timeout", "77") == "+OK\r\n"
    server.send_signal(signal.SIGHUP)
    expect("RELOADING=1")
    expect("READY=1")
    assert "\r\n0\r\n" in ask("CONFIG", "GET", "timeout")
    stop(server)

    server = start()
    expect("READY=1")
    assert ask("GET", "key") == "$5\r\nvalue\r\n"
    assert "\r\n123\r\n" in ask("CONFIG", "GET", "maxclients")
    stop(server)
finally:
    server.kill()
    server.wait()
    (root / SOCKET).unlink()
