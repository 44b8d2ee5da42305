#!/usr/bin/env python3
"""Looks at the console with a headless Chromium, driven by chromedriver's own protocol: waits until
every part of the page shows figures, and writes a picture of it. What is missing then, and any
complaint of the browser, is an error.

    screenshot.py URL FILE
"""

import base64
import json
import socket
import subprocess
import sys
import time
import urllib.request

PATIENCE_S = 240
# So long the lines have grown when the picture is taken.
WATCHED_S = 60
WIDTH = 1400

# What is not there yet, as text; empty when the page is whole.
MISSING = """
const missing = [];
const text = id => document.getElementById(id).innerText;
if (text('state') !== 'live') missing.push('state: ' + text('state'));
if (!(parseFloat(text('operations').replace(/,/g, '')) > 100)) missing.push('operations: ' + text('operations'));
if (!/[1-9]/.test(text('latency'))) missing.push('latency: ' + text('latency'));
const rows = {commands: 4, caches: 6, memory: 8, levels: 2, engine: 4, log: 5, databases: 2, hot: 5, big: 5, slow: 3, clients: 10};
for (const [id, least] of Object.entries(rows)) {
    const found = document.querySelectorAll('#' + id + ' tr').length;
    if (found < least) missing.push(id + ': ' + found + ' rows');
}
if (!text('hot').includes('session:current')) missing.push('the hottest key');
if (!/leaderboard.*[KM]iB/.test(text('big').replace(/\\s+/g, ' '))) missing.push('the size of a big key');
return missing.join('; ');
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Browser:
    def __init__(self):
        port = free_port()
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL)
        self.base = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.call("GET", "/status")
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        options = {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     f"--window-size={WIDTH},1200", "--hide-scrollbars"],
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.base += f"/session/{made['sessionId']}"

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)["value"]

    def run(self, script):
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.driver.terminate()
            self.driver.wait()


def main(url, file):
    browser = Browser()
    try:
        browser.call("POST", "/url", {"url": url})
        began = time.monotonic()
        while (missing := browser.run(MISSING)) or time.monotonic() - began < WATCHED_S:
            if time.monotonic() - began > PATIENCE_S:
                sys.exit(f"the console does not show everything: {missing}")
            time.sleep(1)
        height = browser.run("return document.documentElement.scrollHeight")
        browser.call("POST", "/window/rect", {"width": WIDTH, "height": height + 150})
        time.sleep(1)
        complaints = [entry["message"] for entry in browser.call("POST", "/se/log", {"type": "browser"})]
        if complaints:
            sys.exit("the browser complains: " + "; ".join(complaints))
        picture = base64.b64decode(browser.call("GET", "/screenshot"))
        with open(file, "wb") as out:
            out.write(picture)
        print(f"{file}: {len(picture)} bytes; the console showed", browser.run("return document.getElementById('operations').innerText"))
    finally:
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
