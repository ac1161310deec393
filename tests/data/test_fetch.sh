#!/usr/bin/env bash
# Tests data/fetch.sh with mirrors on this machine (file://): what it downloads, rejects and leaves unchanged.
set -uo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." || exit
root=$PWD
fetch=$root/data/fetch.sh
unset HMRNN_DATA_URL
data=${HMRNN_DATA_DIR:-data}
unset HMRNN_DATA_DIR
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
failures=0

wrong() {
  echo "FAILED: $*" >&2
  failures=$((failures + 1))
}

# refused PATTERN COMMAND…: exit code 2 and one line on stderr that matches.
refused() {
  local pattern=$1 code=0
  shift
  "$@" > "$work/out" 2> "$work/err" || code=$?
  [[ $code == 2 ]] || wrong "exit code $code, not 2: $*"
  [[ $(wc -l < "$work/err") == 1 ]] || wrong "not one line: $(cat "$work/err")"
  grep -q -- "$pattern" "$work/err" || wrong "'$pattern' is not in: $(cat "$work/err")"
}

accepted() {
  "$@" > "$work/out" 2> "$work/err" || wrong "exit code $? of $*: $(cat "$work/err")"
  [[ ! -s $work/err ]] || wrong "noise: $(cat "$work/err")"
}

same() { cmp -s -- "$1" "$2" || wrong "$1 is not $2"; }

# only FOLDER FILES…: the folder contains exactly these files, and no temporary ones.
only() {
  local folder=$1 found expected
  shift
  found=$(find "$folder" -mindepth 1 -printf '%P\n' | sort)
  expected=$(printf '%s\n' "$@" | sort)
  [[ $found == "$expected" ]] || wrong "$folder has: $found; expected: $expected"
}

# ------------------------------------------------------------------ a mirror made by this test
mirror=$work/mirror
mkdir -p "$mirror/ptb" "$mirror/text8"
echo 'a b _ c' > "$mirror/ptb/one.txt"
printf 'no line end' > "$mirror/ptb/two three.txt"
echo 'text' > "$mirror/text8/text8.part1"
(cd "$mirror" && sha256sum ptb/* text8/* > SHA256SUMS)
export HMRNN_DATA_URL=file://$mirror

accepted "$fetch" ptb "$work/a"
only "$work/a" one.txt 'two three.txt'
same "$work/a/one.txt" "$mirror/ptb/one.txt"
same "$work/a/two three.txt" "$mirror/ptb/two three.txt"
[[ $(stat -c %a "$work/a/one.txt") == 644 ]] || wrong "one.txt is not readable by all"

# The default folder.
HMRNN_DATA_DIR=$work/default accepted "$fetch" text8
only "$work/default" text8 text8/text8.part1

# Correct files stay untouched, wrong ones are replaced.
touch -d '2001-01-01' "$work/a/one.txt"
echo damaged > "$work/a/two three.txt"
HMRNN_DATA_URL=$HMRNN_DATA_URL/ accepted "$fetch" ptb "$work/a"
[[ $(stat -c %Y "$work/a/one.txt") == "$(date -d '2001-01-01' +%s)" ]] || wrong "one.txt was fetched again"
same "$work/a/two three.txt" "$mirror/ptb/two three.txt"

# A list with a prefix or sha256sum's binary mark is understood; names that would leave the folder are ignored.
mkdir -p "$work/marked/ptb"
cp "$mirror/ptb/one.txt" "$work/marked/ptb/"
echo escape > "$work/marked/escape"
escape=$(sha256sum < "$work/marked/escape")
{
  sed -n 's|  ptb/one| *./ptb/one|p' "$mirror/SHA256SUMS"
  echo "${escape%% *}  ptb/../escape"
} > "$work/marked/SHA256SUMS"
HMRNN_DATA_URL=file://$work/marked accepted "$fetch" ptb "$work/b/b"
only "$work/b" b b/one.txt

# ------------------------------------------------------------------ what is refused
refused "unknown data set 'nothing'" "$fetch" nothing "$work/c"
refused 'usage' "$fetch"
refused 'usage' "$fetch" ptb "$work/c" more
refused 'lists no file of enwik8' "$fetch" enwik8 "$work/c"
HMRNN_DATA_URL='' refused 'registration' "$fetch" iam_ondb "$work/never"
[[ ! -e $work/never ]] || wrong "a refusal made a folder"
mkdir -p "$work/blocked/one.txt"
refused "cannot write $work/blocked/one.txt" "$fetch" ptb "$work/blocked"
HMRNN_DATA_URL=file://$work/nowhere refused "cannot download file://$work/nowhere/ptb/" "$fetch" ptb "$work/c"
refused "cannot make the folder $mirror/SHA256SUMS/x" "$fetch" ptb "$mirror/SHA256SUMS/x"
only "$work/c"

# A damaged, truncated or missing file never replaces an existing one, whether that is correct or not.
good_sum=$(sha256sum "$work/a/one.txt" "$work/a/two three.txt")
# shellcheck disable=SC2016  # expanded by eval
for damage in 'printf x >> "$bad/ptb/one.txt"' 'truncate -s 3 "$bad/ptb/one.txt"' ': > "$bad/ptb/one.txt"'; do
  bad=$work/bad
  rm -rf "$bad"
  cp -r "$mirror" "$bad"
  eval "$damage"
  HMRNN_DATA_URL=file://$bad refused "one.txt is damaged" "$fetch" ptb "$work/d"
  only "$work/d"
  echo 'my own' > "$work/d/one.txt"
  HMRNN_DATA_URL=file://$bad refused "one.txt is damaged" "$fetch" ptb "$work/d"
  only "$work/d" one.txt
  [[ $(cat "$work/d/one.txt") == 'my own' ]] || wrong "a damaged download replaced a file"
  rm "$work/d/one.txt"
  HMRNN_DATA_URL=file://$bad accepted "$fetch" ptb "$work/a"  # all files are correct, nothing is downloaded
  [[ $(sha256sum "$work/a/one.txt" "$work/a/two three.txt") == "$good_sum" ]] || wrong "good files changed"
done
rm "$bad/ptb/one.txt"
HMRNN_DATA_URL=file://$bad refused "cannot download file://$bad/ptb/one.txt" "$fetch" ptb "$work/d"
only "$work/d"

# ------------------------------------------------------------------ upstream's archives, served by a fake curl
unset HMRNN_DATA_URL
mkdir -p "$work/bin" "$work/upstream"
cat > "$work/bin/curl" <<'CURL'
#!/usr/bin/env bash
while [[ $1 != -- ]]; do
  [[ $1 == --output ]] && out=$2
  shift
done
cp -- "$UPSTREAM/${2##*/}" "$out"
CURL
chmod +x "$work/bin/curl"
upstream() { UPSTREAM=$work/upstream PATH=$work/bin:$PATH "$@"; }

refused 'cannot download http://mattmahoney.net/dc/text8.zip' upstream "$fetch" text8 "$work/e"
if command -v python3 > /dev/null; then
  echo 'not text8' > "$work/text8"
  python3 -m zipfile -c "$work/upstream/text8.zip" "$work/text8"
  refused 'text8.zip is damaged: the SHA-256 of text8 is not 6e890197' upstream "$fetch" text8 "$work/e"
  python3 -m zipfile -c "$work/upstream/enwik8.zip" "$work/text8"
  refused 'enwik8.zip has no enwik8' upstream "$fetch" enwik8 "$work/e"
fi
echo 'no archive' > "$work/upstream/simple-examples.tgz"
refused 'simple-examples.tgz has no ' upstream "$fetch" ptb "$work/e"
only "$work/e"

# ------------------------------------------------------------------ the real data
if [[ -f $data/SHA256SUMS && -f $data/ptb/ptb.char.train.txt ]]; then
  data=$(cd "$data" && pwd)
  HMRNN_DATA_URL=file://$data accepted "$fetch" ptb "$work/ptb"
  only "$work/ptb" ptb.char.{train,valid,test}.txt
  for split in train valid test; do same "$work/ptb/ptb.char.$split.txt" "$data/ptb/ptb.char.$split.txt"; done

  mkdir -p "$work/copy/ptb"
  cp "$data"/ptb/* "$work/copy/ptb/"
  chmod u+w "$work"/copy/ptb/* # the data may be read-only
  # Without SHA256SUMS, the checksums in data/checksums.txt apply.
  HMRNN_DATA_URL=file://$work/copy accepted "$fetch" ptb "$work/published"
  only "$work/published" ptb.char.{train,valid,test}.txt
  printf 'X' | dd of="$work/copy/ptb/ptb.char.valid.txt" bs=1 seek=1000 conv=notrunc status=none
  HMRNN_DATA_URL=file://$work/copy refused 'ptb.char.valid.txt is damaged' "$fetch" ptb "$work/f"
  cp "$data/SHA256SUMS" "$work/copy/"
  HMRNN_DATA_URL=file://$work/copy refused 'ptb.char.valid.txt is damaged' "$fetch" ptb "$work/f"
  [[ ! -e $work/f/ptb.char.valid.txt ]] || wrong "the damaged ptb.char.valid.txt is there"

  for folder in ./simple-examples simple-examples; do
    rm -rf "$work/tree" "$work/g"
    mkdir -p "$work/tree/simple-examples/data"
    cp "$data"/ptb/* "$work/tree/simple-examples/data/"
    tar -czf "$work/upstream/simple-examples.tgz" -C "$work/tree" "$folder"
    accepted upstream "$fetch" ptb "$work/g"
    only "$work/g" ptb.char.{train,valid,test}.txt
    same "$work/g/ptb.char.train.txt" "$data/ptb/ptb.char.train.txt"
  done
  if [[ -d $data/text8 ]]; then
    HMRNN_DATA_URL=file://$data accepted "$fetch" text8 "$work/text8.d"
    same "$work/text8.d/text8-head-6877825.xz" "$data/text8/text8-head-6877825.xz"
  fi
else
  echo "skipped: no real data in $data"
fi

[[ $failures == 0 ]] && echo "all passed"
exit $((failures > 0))
