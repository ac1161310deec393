#!/usr/bin/env bash
# A short form of tests/steady_memory.sh: a minute.
exec tests/steady_memory.sh "${HMRNN_MEMORY_SECONDS:-60}"
