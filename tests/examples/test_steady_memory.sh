#!/usr/bin/env bash
# tests/steady_memory.sh in a small form: a minute.
exec tests/steady_memory.sh "${HMRNN_MEMORY_SECONDS:-60}"
