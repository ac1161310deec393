#!/usr/bin/env bash
# A short form of tests/stress.sh: a few kills, every signal once.
exec tests/stress.sh "${HMRNN_STRESS_KILLS:-4}"
