#!/usr/bin/env bash
# Draws the figure of the paper for a model: 270 characters of its test text, the segments of each layer, and how often
# each layer was updated (there: 270, 56 and 9 times).
#
#   examples/discovery/figure.sh RUN TEXT FIGURE.svg
#
# TEXT is a file; its first 270 characters are taken, line ends as they are. CHAR_LM names the program.
set -euo pipefail
[ $# = 3 ] || { echo "usage: examples/discovery/figure.sh RUN TEXT FIGURE.svg" >&2; exit 2; }
head -c 270 "$2" | "${CHAR_LM:-build/release/bin/char_lm}" segment "$1" --svg "$3" --width 90
