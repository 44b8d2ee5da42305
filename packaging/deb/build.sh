#!/usr/bin/env bash
# Builds the Debian package: binary, units, configuration, manual pages, completions and
# documents. Needs what the build needs, and dpkg-dev. Says at its end where the package is.
#
#   packaging/deb/build.sh                      builds the server first
#   BINARY=/usr/bin/ferrock packaging/deb/build.sh    packs one that is there
#
# DEB_MAINTAINER="Name <address>" signs it. Built twice from one commit by one compiler, it is
# the same file: all times in it are the commit's.
set -euo pipefail
cd "$(dirname "$0")/../.."

MAINTAINER="${DEB_MAINTAINER:-The Ferrock maintainers <maintainers@ferrock.example>}"
TARGET="${CARGO_TARGET_DIR:-$PWD/target}"
VERSION="$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)"
ARCHITECTURE="$(dpkg --print-architecture)"
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}"
export SOURCE_DATE_EPOCH
umask 022

if [ -z "${BINARY:-}" ]; then
    cargo build --release --locked
    BINARY="$TARGET/release/ferrock"
fi

WORK="$(mktemp -d)"
trap 'rm -rf "$WORK"' EXIT
ROOT="$WORK/root"
mkdir -p "$ROOT"

# put MODE FILE PLACE
put() { install -D -m "$1" "$2" "$ROOT/$3"; }
zipped() { gzip -9 --no-name --force "$1"; }

install -D -m 755 "$BINARY" "$ROOT/usr/bin/ferrock"
strip --strip-unneeded --remove-section=.comment "$ROOT/usr/bin/ferrock"
FERROCK="$ROOT/usr/bin/ferrock"

put 644 packaging/ferrock.service lib/systemd/system/ferrock.service
put 644 packaging/ferrock.socket lib/systemd/system/ferrock.socket
put 644 packaging/ferrock.sysusers usr/lib/sysusers.d/ferrock.conf
put 644 packaging/ferrock.tmpfiles usr/lib/tmpfiles.d/ferrock.conf

# The same file for whoever starts the server without the unit.
mkdir -p "$ROOT/etc/ferrock"
sed 's|^dir = .*|dir = "/var/lib/ferrock"|' config.toml >"$ROOT/etc/ferrock/config.toml"
"$FERROCK" config check "$ROOT/etc/ferrock/config.toml"

"$FERROCK" man --out "$ROOT/usr/share/man/man1"
for page in "$ROOT"/usr/share/man/man1/*.1; do zipped "$page"; done
mkdir -p "$ROOT/usr/share/bash-completion/completions" "$ROOT/usr/share/zsh/vendor-completions" \
    "$ROOT/usr/share/fish/vendor_completions.d"
"$FERROCK" completions bash >"$ROOT/usr/share/bash-completion/completions/ferrock"
"$FERROCK" completions zsh >"$ROOT/usr/share/zsh/vendor-completions/_ferrock"
"$FERROCK" completions fish >"$ROOT/usr/share/fish/vendor_completions.d/ferrock.fish"

DOC="usr/share/doc/ferrock"
put 644 README.md "$DOC/README.md"
for page in docs/*.md; do put 644 "$page" "$DOC/$page"; done
for dashboard in packaging/*.json; do [ ! -e "$dashboard" ] || put 644 "$dashboard" "$DOC/$(basename "$dashboard")"; done
put 644 packaging/deb/copyright "$DOC/copyright"
cat >"$WORK/changelog" <<END
ferrock ($VERSION) unstable; urgency=medium

  * What has changed is told in docs/CHANGELOG.md beside this file.

 -- $MAINTAINER  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
END
put 644 "$WORK/changelog" "$DOC/changelog"
zipped "$ROOT/$DOC/changelog"

# What libraries the binary needs, from which version on.
mkdir -p "$WORK/source/debian"
printf 'Source: ferrock\n\nPackage: ferrock\nArchitecture: any\n' >"$WORK/source/debian/control"
LIBRARIES="$(cd "$WORK/source" && dpkg-shlibdeps --ignore-missing-info -O -e"$FERROCK" | sed -n 's/^shlibs:Depends=//p')"

mkdir -p "$ROOT/DEBIAN"
for script in postinst prerm postrm; do install -m 755 "packaging/deb/$script" "$ROOT/DEBIAN/$script"; done
echo /etc/ferrock/config.toml >"$ROOT/DEBIAN/conffiles"
(cd "$ROOT" && find usr lib -type f -print0 | sort -z | xargs -0 md5sum) >"$ROOT/DEBIAN/md5sums"
cat >"$ROOT/DEBIAN/control" <<END
Package: ferrock
Version: $VERSION
Architecture: $ARCHITECTURE
Maintainer: $MAINTAINER
Installed-Size: $(du -sk --exclude=DEBIAN "$ROOT" | cut -f 1)
Depends: $LIBRARIES, systemd | systemd-standalone-sysusers, procps
Suggests: redis-tools
Section: database
Priority: optional
Description: Redis-compatible server whose data lives on disk
 Ferrock speaks the protocol of Redis (RESP2 and RESP3) and keeps keys and
 values in RocksDB. Memory holds what is hot, so a data set may be many times
 larger than memory, a restart loads nothing, and what was acknowledged
 survives a crash.
 .
 This package runs it as a service of systemd, listening on this machine only
 until /etc/ferrock/config.toml says otherwise.
END

find "$ROOT" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
PACKAGE="$TARGET/debian/ferrock_${VERSION}_$ARCHITECTURE.deb"
mkdir -p "$TARGET/debian"
dpkg-deb --root-owner-group -Zxz --build "$ROOT" "$PACKAGE" >/dev/null
echo "$PACKAGE"
