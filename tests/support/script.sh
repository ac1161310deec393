# Shared by the tests of scripts (to be sourced): creates a folder for the test, `work`, and defines checks that end the
# test at the first failure.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }
# refuse WORDS COMMAND…: the command must exit with 2 and print one line with WORDS on stderr.
refuse() {
  local words=$1 code=0
  shift
  "$@" >"$work/out" 2>"$work/err" || code=$?
  [ "$code" = 2 ] || fail "$*: exit code $code, not 2"
  [ "$(wc -l <"$work/err")" = 1 ] || fail "$*: stderr is not one line: $(cat "$work/err")"
  grep -qF -- "$words" "$work/err" || fail "$*: stderr does not say '$words': $(cat "$work/err")"
}
