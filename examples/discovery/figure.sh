#!/usr/bin/env bash
# Draws the paper's figure for a model: 270 characters of its test text, the segments of each layer, and the number of
# updates of each layer (in the paper: 270, 56 and 9).
#
#   examples/discovery/figure.sh RUN TEXT FIGURE.svg
#
# TEXT is a file, of which the first 270 characters are used, line ends included. CHAR_LM names the program.
set -euo pipefail
[ $# = 3 ] || { echo "usage: examples/discovery/figure.sh RUN TEXT FIGURE.svg" >&2; exit 2; }
head -c 270 "$2" | "${CHAR_LM:-build/release/bin/char_lm}" segment "$1" --svg "$3" --width 90
