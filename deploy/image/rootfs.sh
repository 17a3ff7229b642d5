#!/bin/sh
# Makes the root file system of millpond's image:
#
#   deploy/image/rootfs.sh PROGRAM FOLDER
#
# PROGRAM is millpond, linked against this machine's C library; FOLDER is created. It gets the program, the shared
# libraries that the program names, the certificates of the public authorities, and a user.
set -eu
program="$1"
root="$2"
here="$(cd "$(dirname "$0")/../.." && pwd)"
certificates=/etc/ssl/certs/ca-certificates.crt

if [ -e "$root" ]; then
  echo "$root is there already" >&2
  exit 1
fi
if [ ! -s "$certificates" ]; then
  echo "$certificates is missing: apt-get install ca-certificates" >&2
  exit 1
fi
umask 022
mkdir -p "$root/etc/ssl/certs" "$root/etc/millpond" "$root/usr/share/doc/millpond"
mkdir -m 1777 "$root/tmp"

cp "$program" "$root/millpond"
chmod 755 "$root/millpond"
strip "$root/millpond"

# Each library at the path under which the loader looks for it. The loader itself has no arrow.
ldd "$program" >"$root/libraries"
if grep 'not found' "$root/libraries" >&2; then exit 1; fi
sed -n -e 's/.*=> \(\/[^ ]*\) .*/\1/p' -e 's/^[[:space:]]*\(\/[^ ]*\) .*/\1/p' "$root/libraries" |
  while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
  done
rm "$root/libraries"

cp -L "$certificates" "$root$certificates"
cp "$here/LICENSE" "$root/usr/share/doc/millpond/LICENSE"
echo 'millpond:x:65532:65532:millpond:/etc/millpond:/millpond' >"$root/etc/passwd"
echo 'millpond:x:65532:' >"$root/etc/group"
# Names are looked up in the files that the container gets, then by its resolver.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
