#!/usr/bin/env bash
# Tests every command and every snippet in README.md, examples/*/README.md, examples/results.md, docker/README.md,
# python/README.md and docs/many_machines.md.
#
# A ```sh block is run, block by block of a file in one folder, unless the line before it says otherwise:
#   <!-- run by: FILE -->      FILE is a test or a script that a test runs; it contains each of the commands verbatim,
#                              or reads them from this very file (and so names it)
#   <!-- not run: REASON -->   needs a network, hours, or a corpus that may not be distributed; the reason is printed
# A ```cpp or ```cmake block is a verbatim excerpt of the file named in the line before it: <!-- from: FILE -->. ```text
# is output. A block of another kind, or without a kind, is an error.
#
# Commands are shortened to run in a minute: each `char_lm train` makes two steps (a line that resumes, two more), and
# so does `handwriting train`, with few units and on synthetic ink. DIR, RUN, INK_RUN and PREFIX are folders of this
# test; DIR contains a corpus in the format of the Penn Treebank, with words of our own, LINE.xml a line of synthetic
# ink.
set -euo pipefail
bin=$(realpath "${HMRNN_BIN_DIR:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; [ ! -e "$work/out" ] || tail -n 20 "$work/out"; exit 1; }

# blocks FILE: each block as a folder $work/blocks/NNN with kind, note (the line before it) and text.
blocks() {
  rm -rf "$work/blocks"
  mkdir "$work/blocks"
  awk -v folder="$work/blocks" '
    /^```/ && !inside { inside = 1; ++n; name = sprintf("%s/%03d", folder, n); print substr($0, 4) >(name ".kind")
                        print before >(name ".note"); printf "" >(name ".text"); next }
    /^```$/ { inside = 0; before = ""; close(name ".text"); next }
    inside { print >(name ".text"); next }
    { before = $0 }
    END { if (inside) exit 1 }' "$1" || fail "$1: a block does not end"
}

"$bin/handwriting" synthesize --out "$work/ink" --lines 2 >/dev/null
line=$(find "$work/ink" -name '*.xml' | sort | head -n 1)

# The corpus: sentences of a few words each, with every letter and some order in them.
mkdir -p "$work/corpus"
for part in train:1200 valid:60 test:60; do
  awk -v lines="${part#*:}" 'BEGIN {
    srand(lines); n = split("the company said it expects to report a loss quick brown fox jumps over lazy dog vexing judge", w, " ")
    for (i = 0; i < lines; ++i) { s = ""; for (k = 0; k < 6; ++k) s = s " " w[1 + int(rand() * n)]; print s " " } }' \
    >"$work/corpus/ptb.${part%:*}.txt"
done

# Prints the commands of a block, shortened.
shorten() {
  sed -E -e '/handwriting train/ s# --data-dir DIR# --corpus synthetic#; s# --preset iam##; s#LINE[.]xml#'"$line"'#' |
    sed -E -e "s#\bDIR\b#$work/corpus#g; s#\bPREFIX\b#$work/prefix#g; s#\bRUN\b#$work/run#g; s#\bINK_RUN\b#$work/ink_run#g" \
    -e 's#--(steps|minutes|epochs) [0-9.]+##g' -e 's#--threads [0-9]+##' |
    sed -e ':join; /\\$/ { N; s/\\\n//; b join }' -e '/char_lm train/ s|\( *#.*\)\?$| --steps 2 --threads 2|' \
      -e '/handwriting train/ { s/ --\(units\|output-embedding\) [0-9]*//g; s|\( *#.*\)\?$| --units 16 --output-embedding 16 --steps 2 --threads 2| }'
}

room=$work/room # looks like the project's folder; files that commands write stay in it
mkdir -p "$room/build/release"
for file in CMakeLists.txt hmrnn examples cmake tests docs data; do ln -s "$PWD/$file" "$room/$file"; done
for file in "$bin/.."/*; do ln -s "$file" "$room/build/release/"; done
export PATH=$bin:$PATH # examples/results.md calls programs by name

ran=0 elsewhere=0 excerpts=0
for file in README.md examples/*/README.md examples/results.md docker/README.md docs/many_machines.md python/README.md; do
  blocks "$file"
  for kind_file in "$work/blocks"/*.kind; do
    [ -e "$kind_file" ] || continue
    block=${kind_file%.kind}
    kind=$(<"$kind_file") note=$(<"$block.note")
    where=${note#*: } where=${where% -->}
    case "$kind:$note" in
      text:*) ;;
      sh:'<!-- not run: '*)
        echo "skipped: $file: $(head -n 1 "$block.text"): $where"
        ;;
      sh:'<!-- run by: '* | python:'<!-- run by: '*)
        [ -e "$where" ] || fail "$file: commands are said to be run by $where, which is not there"
        # A comment runs nothing.
        script=$(grep -vE '^ *#' "$where")
        if ! grep -qF -- "$file" <<<"$script"; then
          while IFS= read -r command; do
            command=$(sed -E 's/ +#.*//' <<<"$command")
            [ -z "$command" ] || grep -qF -- "$command" <<<"$script" || fail "$file: '$command' is not run by $where"
          done <"$block.text"
        fi
        elsewhere=$((elsewhere + 1))
        ;;
      sh:*)
        shorten <"$block.text" >"$work/commands"
        (cd "$room" && bash -ex -o pipefail "$work/commands") >"$work/out" 2>&1 </dev/null || fail "$file: $(<"$block.text")"
        ran=$((ran + $(grep -c . "$work/commands")))
        ;;
      cpp:'<!-- from: '* | cmake:'<!-- from: '*)
        [ -e "$where" ] || fail "$file: an excerpt is said to be from $where, which is not there"
        python3 - "$block.text" "$where" <<'EXCERPT' || fail "$file: this is not in $where: $(<"$block.text")"
import sys
excerpt, whole = (open(name).read() for name in sys.argv[1:])
sys.exit(excerpt not in whole)
EXCERPT
        excerpts=$((excerpts + 1))
        ;;
      *) fail "$file: a block '$kind' that nothing is said of: $(head -n 1 "$block.text")" ;;
    esac
  done
done
[ "$ran" -ge 8 ] && [ "$excerpts" -ge 3 ] && [ "$elsewhere" -ge 3 ] ||
  fail "only $ran commands, $excerpts excerpts and $elsewhere blocks of other tests: was a file read at all?"
echo "passed: $ran commands run here, $elsewhere blocks by other tests, $excerpts excerpts"
