#!/usr/bin/env bash
# Installs the package on a clean Debian 12 and proves what it promises: the unit is right and
# well confined; the server reports itself, answers, reloads and stops as systemd wants it;
# another installation keeps the configuration; purging leaves nothing. As root, with
# debootstrap; the clean root is fetched once into the cache folder. Takes some ten seconds then.
#
#   packaging/deb/try.sh [ferrock_….deb]      without a package it builds one
set -euo pipefail
cd "$(dirname "$0")/../.."

CACHE="${XDG_CACHE_HOME:-$HOME/.cache}/ferrock"
CLEAN="$CACHE/debian-12"
PACKAGE="${1:-$(packaging/deb/build.sh | tail -n 1)}"
# What `systemd-analyze security` may say at most, times ten.
EXPOSURE_MAX=20

if [ ! -e "$CLEAN/.complete" ]; then
    rm -rf "$CLEAN"
    mkdir -p "$CLEAN"
    debootstrap --variant=minbase --include=systemd,procps bookworm "$CLEAN" >"$CACHE/debootstrap.log" ||
        { tail -n 20 "$CACHE/debootstrap.log"; exit 1; }
    touch "$CLEAN/.complete"
fi

ROOT="$(mktemp -d -t ferrock-deb-XXXXXX)"
clean_up() {
    umount "$ROOT/proc" 2>/dev/null || true
    # Never through a mount.
    rm -rf --one-file-system "$ROOT"
}
trap clean_up EXIT
cp -a "$CLEAN/." "$ROOT"
mount -t proc proc "$ROOT/proc"
cp "$PACKAGE" "$ROOT/ferrock.deb"

inside() { chroot "$ROOT" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }
# All files but those of dpkg itself and of users, which stay on purpose, and what systemd notes for
# itself until the machine starts again.
files() {
    (cd "$ROOT" && find . -xdev | grep -vE '^\./(proc|run/systemd|var/lib/dpkg|var/log|etc/(passwd|group|shadow|gshadow)-?$)' | sort)
}
passed=0
done_with() {
    echo "$1: passed"
    passed=$((passed + 1))
}

# Twice, so that the list is in the list.
files >"$ROOT/.before"
files >"$ROOT/.before"
inside dpkg -i /ferrock.deb >/dev/null
inside dpkg --verify ferrock
[ "$(inside dpkg-query -W -f '${Status}' ferrock)" = "install ok installed" ]
[ "$(inside stat -c '%U:%G %a' /var/lib/ferrock)" = "ferrock:ferrock 750" ]
[ "$(inside stat -c '%U:%G %a' /etc/ferrock/config.toml)" = "root:ferrock 640" ]
inside ferrock config check /etc/ferrock/config.toml >/dev/null
for page in ferrock ferrock-server ferrock-config-check; do
    zcat "$ROOT/usr/share/man/man1/$page.1.gz" | grep -q '^\.SH NAME'
done
inside bash -n /usr/share/bash-completion/completions/ferrock
done_with "dpkg -i"

inside systemd-analyze verify /lib/systemd/system/ferrock.service /lib/systemd/system/ferrock.socket
done_with "systemd-analyze verify"

inside systemd-analyze security --offline=true --threshold=$EXPOSURE_MAX ferrock.service | tail -n 1
done_with "systemd-analyze security"

python3 packaging/deb/notify.py "$ROOT"
done_with "start, reload and stop under a notify socket"

echo '# kept' >>"$ROOT/etc/ferrock/config.toml"
inside dpkg -i /ferrock.deb >/dev/null
grep -q '^# kept$' "$ROOT/etc/ferrock/config.toml"
done_with "another installation keeps the configuration"

inside dpkg --remove ferrock >/dev/null
[ -f "$ROOT/etc/ferrock/config.toml" ] && [ -d "$ROOT/var/lib/ferrock" ]
inside dpkg --purge ferrock >/dev/null
left="$(files | diff "$ROOT/.before" - || true)"
[ -z "$left" ] || { echo "$left"; echo "purging left something, or took too much"; exit 1; }
done_with "purge"

echo "package: $passed passed, 0 failed"
