#!/usr/bin/env bash
# Downloads a data set and checks it: data/fetch.sh NAME [DEST]
#
#   NAME  ptb, text8, enwik8 or iam_ondb
#   DEST  folder for its files (the --data-dir of char_lm); default $HMRNN_DATA_DIR/NAME, else data/NAME
#
# HMRNN_DATA_URL  another address to download from (http, https, ftp or file); files are at HMRNN_DATA_URL/NAME/FILE.
#                 HMRNN_DATA_URL/SHA256SUMS lists the files and their SHA-256; if it does not exist, checksums.txt does.
#
# A file is put into place only if its SHA-256 is correct; correct files that exist are not downloaded again. Exit code
# 0: all files exist and are correct. 2: not so, with one line that says why.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)

fail() {
  printf 'fetch.sh: %s\n' "$*" >&2
  exit 2
}

[[ $# -ge 1 && $# -le 2 ]] || fail "usage: data/fetch.sh ptb|text8|enwik8|iam_ondb [DEST]"
name=$1
case $name in
  ptb | text8 | enwik8 | iam_ondb) ;;
  *) fail "unknown data set '$name': it is ptb, text8, enwik8 or iam_ondb" ;;
esac
if [[ -n ${HMRNN_DATA_DIR:-} ]]; then dest=${2:-$HMRNN_DATA_DIR/$name}; else dest=${2:-$here/$name}; fi
url=${HMRNN_DATA_URL:-}
url=${url%/}
if [[ $name == iam_ondb && -z $url ]]; then
  fail "IAM-OnDB needs a registration with the University of Bern, see data/README.md (or set HMRNN_DATA_URL)"
fi

# Inside DEST, so that the last step is a rename within one file system.
mkdir -p -- "$dest" 2> /dev/null || fail "cannot make the folder $dest"
work=$(mktemp -d "$dest/.fetch.XXXXXX" 2> /dev/null) || fail "cannot write to $dest"
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# download ADDRESS FILE
download() {
  if command -v curl > /dev/null; then
    curl --globoff --fail --silent --location --retry 3 --connect-timeout 30 --output "$2" -- "$1" 2> /dev/null
  elif [[ $1 == file://* ]]; then
    local path=${1#file://}
    cp -- "${path//%20/ }" "$2" 2> /dev/null
  elif command -v wget > /dev/null; then
    wget --quiet --tries=3 --timeout=30 --output-document="$2" -- "$1" 2> /dev/null
  else
    fail "neither curl nor wget is installed"
  fi
}

# sum_is FILE SHA256
sum_is() { [[ -f $1 && $(sha256sum < "$1") == "$2 "* ]]; }

# Prints the lines "SHA256  FILE" of a list for this data set, without the folder NAME. Names with another folder or a
# leading dot are ignored, since they could lead out of DEST.
files_of() { sed -nE "s|^([0-9a-f]{64}) [ *](\./)?$name/([^/.][^/]*)\r?\$|\1  \3|p" "$1"; }

# install_file DOWNLOADED FILE SHA256 ORIGIN: puts FILE into place if its checksum is correct.
install_file() {
  sum_is "$1" "$3" || fail "$4 is damaged: the SHA-256 of $2 is not $3"
  # Temporary files are private; the data need not be.
  if ! { chmod 644 "$1" && mv -fT -- "$1" "$dest/$2"; } 2> /dev/null; then fail "cannot write $dest/$2"; fi
  echo "$dest/$2"
}

# member ARCHIVE MEMBER FILE: extracts one member of a .tgz or .zip (a bare Debian has no unzip, but it has Python).
member() {
  case $1 in
    *.tgz) tar -xzOf "$1" "$2" > "$3" 2> /dev/null ;;
    *.zip)
      if command -v unzip > /dev/null; then
        unzip -p "$1" "$2" > "$3" 2> /dev/null
      elif command -v python3 > /dev/null; then
        python3 -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as member: shutil.copyfileobj(member, sys.stdout.buffer)' \
          "$1" "$2" > "$3" 2> /dev/null
      else
        fail "neither unzip nor python3 is installed"
      fi
      ;;
  esac
}

sums=$here/checksums.txt
origin=$sums
if [[ -n $url ]] && download "$url/SHA256SUMS" "$work/SHA256SUMS"; then
  sums=$work/SHA256SUMS
  origin=$url/SHA256SUMS
fi
list=$(files_of "$sums")
[[ -n $list ]] || fail "$origin lists no file of $name"

missing=()
while read -r sum file; do
  if sum_is "$dest/$file" "$sum"; then echo "$dest/$file"; else missing+=("$sum $file"); fi
done <<< "$list"
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ -z $url ]]; then
  # Upstream has one archive per data set.
  case $name in
    ptb) address=http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz prefix=./simple-examples/data/ ;;
    text8) address=http://mattmahoney.net/dc/text8.zip prefix= ;;
    enwik8) address=http://mattmahoney.net/dc/enwik8.zip prefix= ;;
  esac
  archive=$work/${address##*/}
  download "$address" "$archive" || fail "cannot download $address"
fi
for entry in "${missing[@]}"; do
  sum=${entry%% *} file=${entry#* }
  if [[ -n $url ]]; then
    address=$url/$name/${file// /%20}
    download "$address" "$work/$file" || fail "cannot download $address"
  else
    member "$archive" "$prefix$file" "$work/$file" || member "$archive" "${prefix#./}$file" "$work/$file" ||
      fail "$address has no $prefix$file"
  fi
  install_file "$work/$file" "$file" "$sum" "$address"
done
