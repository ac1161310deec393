#!/usr/bin/env bash
# tests/stress.sh in a small form: a few kills, every signal once.
exec tests/stress.sh "${HMRNN_STRESS_KILLS:-4}"
