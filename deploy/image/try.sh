#!/usr/bin/env bash
# Runs the image without Docker and shows that it works:
#
#   deploy/image/try.sh [PROGRAM | FOLDER [MEGABYTES]]
#
# It makes the image's root file system from PROGRAM (target/release/millpond), or copies it from FOLDER (what docker
# export gives), measures it, and starts it as a container is started: own mounts, processes and network, a read-only root, the image's user, no capability and no
# new privileges. The container must become healthy by its own check, answer a chat of the demo provider, stream, and
# end by itself with 0 on SIGTERM, but not before a stream that runs has ended. With MEGABYTES it fails if the layer
# takes more. Linux and root (or sudo without a password) are needed.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"

# Real, effective and saved user and group; permitted and effective capabilities, and no group more.
who="65532 65532 65532 65532 65532 65532 "
nothing=" 0000000000000000 0000000000000000 "
url=http://127.0.0.1:8080
# How long each step may take, in seconds.
patience=20

fail() {
  echo "failed: $*" >&2
  if [ -s "${MILLPOND_WORK:-}/log" ]; then sed 's/^/  /' "$MILLPOND_WORK/log" >&2; fi
  exit 1
}

# A program of the image, as the container's runtime starts it. The three capabilities are for entering the root and
# becoming the user; nobody but root keeps them.
in_image=(
  env --ignore-environment setpriv --no-new-privs '--bounding-set=-all,+sys_chroot,+setuid,+setgid'
  unshare --root="${MILLPOND_WORK:-}/root" --wd=/etc/millpond --setgid=65532 --setuid=65532
)

# Waits until a command succeeds, while the container lives.
await() {
  local what="$1" deadline=$((SECONDS + patience))
  shift
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$container" 2>/dev/null; then fail "the container ended before $what"; fi
    if [ "$SECONDS" -ge "$deadline" ]; then fail "no $what within $patience s"; fi
    sleep 0.05
  done
}

ask() {
  curl -fsSN --max-time "$patience" "$url/v1/chat/completions" -H 'content-type: application/json' \
    -d '{"model": "'"$1"'", "stream": '"$2"', "messages": [{"role": "user", "content": "Hello"}]}'
}

# The first half, on the machine: the file system and its size.
outside() {
  if [ "$(id -u)" != 0 ]; then exec sudo -n -- "$here/try.sh" "$@"; fi
  local from="${1:-$here/../../target/release/millpond}" limit="${2:-}" work bytes
  if [ ! -x "$from" ]; then fail "$from is not there: cargo build --release"; fi
  work="$(mktemp -d)"
  # shellcheck disable=SC2064 # This folder, whatever the variable becomes.
  trap "rm -rf '$work'" EXIT
  chmod 755 "$work"

  if [ -d "$from" ]; then cp -a "$from" "$work/root"; else "$here/rootfs.sh" "$from" "$work/root"; fi
  bytes="$(tar -C "$work/root" --sort=name --owner=0 --group=0 --numeric-owner -c . | gzip -9 | wc -c)"
  (cd "$work/root" && find . -type f -printf '%10s  %P\n' | sort -rn)
  echo "compressed: $bytes bytes"
  if [ -n "$limit" ] && [ "$bytes" -gt $((limit * 1000000)) ]; then fail "more than $limit MB"; fi

  # A container's runtime makes this one.
  mkdir -p "$work/root/proc"
  MILLPOND_WORK="$work" unshare --mount --net --pid --fork --kill-child --mount-proc "$here/try.sh" --inside
}

# The second half, in the container's namespaces.
inside() {
  local root="$MILLPOND_WORK/root" log="$MILLPOND_WORK/log" stream="$MILLPOND_WORK/stream"
  ip link set lo up
  mount --bind "$root" "$root"
  mount -o remount,bind,ro "$root"
  mount -t proc proc "$root/proc"
  if touch "$root/tmp/probe" 2>/dev/null; then fail "the root can be written"; fi

  started="$(date +%s%N)"
  "${in_image[@]}" /millpond serve --demo >"$log" 2>&1 &
  container="$!"
  await health "${in_image[@]}" /millpond health
  echo "healthy after $((($(date +%s%N) - started) / 1000000)) ms"

  local status="/proc/$container/status"
  [ "$(awk '/^Uid:|^Gid:/ { printf "%s %s %s ", $2, $3, $4 }' "$status")" = "$who" ] || fail "it runs as somebody else"
  [ "$(awk '/^CapEff:|^CapPrm:|^Groups:/ { printf "%s ", $2 }' "$status")" = "$nothing" ] || fail "it has capabilities"
  grep -q '^NoNewPrivs:[[:space:]]*1$' "$status" || fail "it may gain privileges"
  awk '/^VmRSS:/ { print "resident: " $2 " KiB" }' "$status"

  ask demo true | grep -qx 'data: \[DONE\]' || fail "a stream has no end"
  ask demo false | grep -q '"finish_reason":"stop"' || fail "an answer is not complete"

  # This stream takes seconds. It has begun when the signal comes, and ends by itself.
  ask demo/slow true >"$stream" &
  local client="$!"
  await "a stream" grep -q '"content"' "$stream"
  if grep -qx 'data: \[DONE\]' "$stream"; then fail "the stream was over before the signal"; fi
  kill -TERM "$container"
  wait "$client" || fail "the stream was cut"
  grep -qx 'data: \[DONE\]' "$stream" || fail "the stream was not drained"
  local code=0
  wait "$container" || code="$?"
  if [ "$code" != 0 ]; then fail "it ended with $code"; fi
  if "${in_image[@]}" /millpond health 2>/dev/null; then fail "it is healthy after its end"; fi
  echo "answered, streamed, drained, ended with 0"
}

if [ "${1:-}" = --inside ]; then inside; else outside "$@"; fi
