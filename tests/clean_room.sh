#!/usr/bin/env bash
# Tests the set-up on a bare machine: creates a minimal Debian root file system with a fresh clone of the committed tree
# and runs the first two commands of README.md there. Needs root, debootstrap and 8 GB of disk; takes about half an
# hour, so it is not part of ctest.
#
#   tests/clean_room.sh [COMMAND …]    commands to run in the clone (default: tests/run.sh and examples/quickstart.sh)
#
#   HMRNN_CLEAN_ROOM         working folder (default /var/tmp/hmrnn-clean-room); keeps the bare root file system for the
#                            next run, and the room of the last run for inspection
#   HMRNN_CLEAN_ROOM_SUITE   bookworm (default), or noble for Ubuntu 24.04
#   HMRNN_CLEAN_ROOM_USER    a user to create and to run as, with sudo and no password (default: root, without sudo)
#   HMRNN_CLEAN_ROOM_GIVE    files and folders to put into the room instead of a clone (used by
#                            tests/package_clean_room.sh)
#   HMRNN_DATA_DIR           corpora, mounted read-only in the room (default: none)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ "$(id -u)" = 0 ] || { echo "clean_room: needs root" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "clean_room: needs debootstrap (apt-get install debootstrap)" >&2; exit 2; }

folder=${HMRNN_CLEAN_ROOM:-/var/tmp/hmrnn-clean-room}
suite=${HMRNN_CLEAN_ROOM_SUITE:-bookworm}
user=${HMRNN_CLEAN_ROOM_USER:-root}
data=${HMRNN_DATA_DIR:+$(realpath -m "$HMRNN_DATA_DIR")}
bare=$folder/$suite
room=$folder/room
case $suite in
  # One script of debootstrap's installs all Ubuntu releases; it lacks the names of newer ones. Debian's package
  # ubuntu-archive-keyring has the keys for their signatures.
  noble) mirror=http://archive.ubuntu.com/ubuntu components=main,universe script=/usr/share/debootstrap/scripts/gutsy ;;
  *) mirror=http://deb.debian.org/debian components=main script= ;;
esac
[ $# -gt 0 ] || set -- tests/run.sh examples/quickstart.sh
mkdir -p "$folder"

if [ ! -e "$bare" ]; then
  rm -rf "$bare.partial"
  debootstrap --variant=minbase --components="$components" "$suite" "$bare.partial" "$mirror" $script >"$folder/debootstrap.log" 2>&1 ||
    { tail -n 5 "$folder/debootstrap.log" >&2; echo "clean_room: debootstrap failed ($folder/debootstrap.log)" >&2; exit 1; }
  mv "$bare.partial" "$bare"
fi

# The mounts are in a separate mount namespace and end with it, so that removing a room never follows one.
if [ -z "${HMRNN_CLEAN_ROOM_INSIDE:-}" ]; then
  HMRNN_CLEAN_ROOM_INSIDE=1 exec unshare --mount --propagation private "${BASH_SOURCE[0]}" "$@"
fi

rm -rf --one-file-system "$room"
cp -a "$bare" "$room"
for file in /etc/resolv.conf /etc/hosts; do
  if [ -e "$file" ]; then cat "$file" >"$room$file"; fi
done
# Copies what this machine needs to reach its package registries, which is not part of the test: certificates, proxies,
# pip's settings.
settings=()
while IFS='=' read -r name value; do
  case $name in
    PIP_* | *_proxy | *_PROXY | SSL_CERT_FILE | REQUESTS_CA_BUNDLE)
      if [ -f "$value" ]; then # under a name that no package of the room uses
        install -D -m 644 "$value" "$room/etc/clean-room/$name"
        value=/etc/clean-room/$name
      fi
      settings+=("$name=$value")
      ;;
  esac
done < <(env)

mount -t proc proc "$room/proc"
mount --rbind /dev "$room/dev"
mount -t tmpfs tmpfs "$room/dev/shm"
if [ -n "$data" ] && [ -d "$data" ]; then
  mkdir -p "$room/data"
  mount --bind "$data" "$room/data"
  mount -o remount,bind,ro "$room/data"
  settings+=(HMRNN_DATA_DIR=/data)
fi

home=/root
if [ "$user" != root ]; then
  chroot "$room" apt-get update -q >/dev/null
  chroot "$room" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends sudo >/dev/null
  chroot "$room" useradd --create-home --shell /bin/bash "$user"
  echo "$user ALL=(ALL) NOPASSWD: ALL" >"$room/etc/sudoers.d/clean-room"
  home=/home/$user
fi
if [ -n "${HMRNN_CLEAN_ROOM_GIVE:-}" ]; then
  mkdir "$room$home/hmrnn"
  read -r -a given <<<"$HMRNN_CLEAN_ROOM_GIVE"
  cp -r "${given[@]}" "$room$home/hmrnn/"
else
  git clone -q --no-hardlinks . "$room$home/hmrnn"
fi
chroot "$room" chown -R "$user:" "$home/hmrnn"

for command in "$@"; do
  echo "clean_room: $suite, as $user: $command"
  start=$SECONDS
  if ! chroot --userspec="$user" "$room" env -i HOME="$home" USER="$user" LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${settings[@]}" \
    bash -c "cd ~/hmrnn && $command" </dev/null; then
    echo "clean_room: FAILED after $((SECONDS - start)) s: $command" >&2
    exit 1
  fi
  echo "clean_room: passed in $((SECONDS - start)) s: $command"
done
