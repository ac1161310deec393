#!/usr/bin/env bash
# A program that finds another version of LibTorch prints one line and exits with code 2, even if that LibTorch lacks a
# function: the loader must not end it with "symbol lookup error".
set -euo pipefail
bin=$(realpath "${HMRNN_BIN_DIR:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; cat "$work/out"; exit 1; }
lib=$(ldd "$bin/char_lm" | sed -n 's|.*=> \(.*\)/libtorch_cpu.so .*|\1|p')
[ -e "$lib/../version.py" ] || [ -e "$lib/../build-version" ] || { echo "skipped: this LibTorch does not say its version"; exit 0; }

# other VERSION: creates a LibTorch in $work/torch that reports this version
other() {
  rm -rf "$work/torch"
  mkdir -p "$work/torch/lib"
  for file in "$lib"/*.so*; do ln -s "$file" "$work/torch/lib/"; done
  echo "__version__ = '$1+cpu'" > "$work/torch/version.py"
}
run() { LD_LIBRARY_PATH=$work/torch/lib "$bin/$1" "${@:2}" > "$work/out" 2>&1; }
refused() { # refused PROGRAM VERSION: one line, exit code 2
  local code=0
  run "$1" --help || code=$?
  [ "$code" = 2 ] || fail "$1 with LibTorch $2: exit code $code instead of 2"
  [ "$(wc -l < "$work/out")" = 1 ] || fail "$1 with LibTorch $2: not one line"
  grep -q "^$1: built with LibTorch .*, but $work/torch/lib/libtorch_cpu.so is of LibTorch $2," "$work/out" || fail "$1 with LibTorch $2"
}

for program in char_lm handwriting; do
  other 2.10.0
  refused "$program" 2.10.0
  other 3.11.0
  refused "$program" 3.11.0
done

# The same release and its patch releases are accepted.
built=$(sed -n "s/.*built with LibTorch \([0-9.]*\),.*/\1/p" "$work/out")
other "${built%.*}.99"
run char_lm --help || fail "a patch release of the same LibTorch is refused"

# A function that libhmrnn calls is missing: its name is changed in a copy of the library.
other 2.10.0
python3 - "$lib/libc10.so" "$work/libc10.so" "$(dirname "$bin")/lib/libhmrnn.so" <<'PY'
import re, subprocess, sys
source, target, user = sys.argv[1:]
symbols = lambda path, kind: {l.split()[-1].split('@')[0] for l in subprocess.run(['nm', '-D', kind, path], capture_output=True, text=True, check=True).stdout.splitlines()}
relocations = subprocess.run(['readelf', '-rW', user], capture_output=True, text=True, check=True).stdout
called = set(re.findall(r'R_\S+_JUMP_SLO\S*\s+\S+\s+(\S+?)(?:@\S+)? \+', relocations))
data = open(source, 'rb').read()
for name in sorted(called & symbols(source, '--defined-only')):
    text = b'\0' + name.encode() + b'\0'
    if text in data and 'torchCheckFail' in name:
        open(target, 'wb').write(data.replace(text, b'\0' + b'X' + name.encode()[1:] + b'\0'))
        print(f'without {name}')
        break
else:
    sys.exit('libhmrnn calls nothing of libc10')
PY
ln -sf "$work/libc10.so" "$work/torch/lib/libc10.so"
refused char_lm 2.10.0
echo "passed"
