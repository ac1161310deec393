#!/usr/bin/env bash
# tests/gpu.sh where there is no GPU: what it refuses, and the summary it would write, from recorded output of the stages.
# tests/gpu_carry.sh, and that the project configures with the folder it makes and without the Debian packages.
set -euo pipefail
bin=$(realpath "${HMRNN_BIN_DIR:?the folder of the programs}")
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

# ---------------------------------------------------------------- command line
refuse() {
  local words=$1 code=0
  shift
  "$@" >"$work/out" 2>"$work/err" || code=$?
  [ "$code" = 2 ] || fail "$*: exit code $code, not 2"
  [ "$(wc -l <"$work/err")" = 1 ] || fail "$*: stderr is not one line: $(cat "$work/err")"
  grep -qF -- "$words" "$work/err" || fail "$*: stderr does not say '$words': $(cat "$work/err")"
}
refuse "unknown argument '--fast'" tests/gpu.sh --fast
refuse "--minutes: its value is missing" tests/gpu.sh --minutes
for value in x 0 -1 1e3 ""; do refuse "--minutes $value: not a number above 0" tests/gpu.sh --minutes "$value"; done
refuse "no such folder" tests/gpu.sh --data-dir "$work/absent"
tests/gpu.sh --help | grep -q -- --minutes || fail "--help"
mkdir "$work/bin"
printf '#!/bin/sh\nexit 9\n' >"$work/bin/nvidia-smi"
chmod +x "$work/bin/nvidia-smi"
PATH=$work/bin:$PATH refuse "no GPU at hand" tests/gpu.sh --minutes 1.5 --out "$work/report"
[ ! -e "$work/report" ] || fail "--out was made although there is no GPU"
if [ "$(id -u)" != 0 ]; then
  printf '#!/bin/sh\necho "A GPU, 9.0, 1 MiB, 1"\n' >"$work/bin/nvidia-smi"
  PATH=$work/bin:$PATH refuse "cannot be written" tests/gpu.sh --out /proc/report
fi

# ---------------------------------------------------------------- summary
report=$work/recorded
mkdir -p "$report/training"
cat >"$report/stages.jsonl" <<'TXT'
{"stage": "start", "gpu": "NVIDIA H200, 9.0, 143771 MiB, 570.86", "commit": "1234abc"}
{"stage": "build", "code": 0, "seconds": 151}
{"stage": "tests", "code": 1, "seconds": 40}
{"stage": "choice", "cuda_persistent": "on"}
TXT
# as Catch2 writes it: a case of two sections, one that failed, one that was skipped
cat >"$report/tests.xml" <<'TXT'
<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="hmrnn_tests" errors="0" failures="1" tests="4" hostname="tbd" time="4.2" timestamp="2026-11-25T03:17:53Z">
    <testcase classname="hmrnn_tests.global" name="text on a GPU/step boundaries" time="1.5" status="run"/>
    <testcase classname="hmrnn_tests.global" name="text on a GPU/the control" time="1.5" status="run">
      <failure message="a == b" type="CHECK">
FAILED:
  CHECK( a == b )
      </failure>
    </testcase>
    <testcase classname="hmrnn_tests.global" name="one that asks" time="0.001" status="run">
      <system-out>
skipped: no second device
      </system-out>
    </testcase>
    <system-out>
skipped: no second device
    </system-out>
    <system-err/>
  </testsuite>
</testsuites>
TXT
python3 - "$report" <<'PY'
import json, sys
def row(case, units, dtype, speed, launch=None, norm=False, backend=None, ratio=1.0):
    out = {"case": case, "device": "cuda:0", "units": units, "batch": units // 8, "window": 100, "rates": None,
           "dtype": dtype, "layer_norm": norm, "threads": 16, "characters_per_second": speed, "ratio_fp32": 1.0,
           "ratio_same_dtype": ratio, "gflops": 1.0, "ceiling_share": 0.1, "peak_bytes": 1.25e9}
    if launch: out["launch"] = launch
    if backend: out["backend"] = backend
    return out
rows = [row("core/lstm", 512, "float32", 1e6, backend="cuDNN"), row("core/lstm", 512, "bfloat16", 2e6, backend="cuDNN"),
        row("core/hm_lstm", 512, "float32", 8e5, "graph", True, ratio=0.8),
        row("core/hm_lstm", 512, "bfloat16", 9e5, "launches", True, ratio=0.45),
        row("core/hm_lstm", 512, "bfloat16", 1.5e6, "graph", False, ratio=0.75),
        row("core/hm_lstm", 512, "bfloat16", 1.1e6, "graph", True, ratio=0.55),
        row("core/hm_lstm", 512, "bfloat16", 1.9e6, "persistent", True, ratio=0.95),
        row("core/hm_lstm_cell", 512, "float32", 2e4, norm=True, ratio=0.02),
        row("training/char_lm_hm_lstm", 512, "bfloat16", 654321.4, "graph", True, ratio=0.5),
        row("training/char_lm_hm_lstm", 512, "bfloat16", 654321.5, "persistent", True, ratio=0.5)]
json.dump({"version": "0.1.0", "device": "cuda:0 (NVIDIA H200, compute capability 9.0)", "rounds": 3, "rows": rows,
           "gemm_ceiling": []}, open(sys.argv[1] + "/bench.json", "w"))
with open(sys.argv[1] + "/training/metrics.jsonl", "w") as out:
    for step, speed in ((100, 10.0), (200, 500000.0), (300, 501748.2), (400, 600000.0)):
        print(json.dumps({"event": "train", "step": step, "epoch": step // 300, "loss": 1.0, "bpc": 1.44,
                          "characters_per_second": speed, **({"skipped_updates": 2} if step == 200 else {})}), file=out)
    for step, bpc in ((150, 1.4), (300, 1.3), (400, 1.35)):
        print(json.dumps({"event": "eval", "step": step, "bpc": bpc}), file=out)
    out.write('{"event":"train","step":500,"lo')  # killed in the middle of a line
PY
code=0
python3 tests/gpu_summary.py "$report" || code=$?
[ $code = 1 ] || fail "a failure and a skipped test: exit code $code, not 1"
says() { grep -qxF -- "$1" "$report/summary.md" || fail "summary.md has no line '$1': $(cat "$report/summary.md")"; }
says "# NVIDIA H200, 9.0, 143771 MiB, 570.86"
says "| build | 151 | 0 |"
says "| tests | 40 | 1 |"
says "2 cases, 1 failures."
says "## char_lm train --preset ptb --cuda-persistent on"
says "* FAILED: text on a GPU/the control"
says "* one that asks: skipped: no second device"
says "* persistent.xml: not run to its end"
says "| 3x512, batch 64, bfloat16, graph / cuDNN's LSTM | 0.55 | ≥ 0.5 |"
says "| 3x512, batch 64, bfloat16, persistent / cuDNN's LSTM | 0.95 | ≥ 1 |"
says "| 3x512, batch 64, bfloat16, launches / cuDNN's LSTM | 0.45 |  |"
says "| 3x512, batch 64, float32, graph / cuDNN's LSTM | 0.80 |  |"
says "| 3x1024, batch 128, bfloat16, graph / ?'s LSTM | not measured | ≥ 0.6 |"
says "| 3x512, float32, graph / HMLSTMCell stepped by autograd | 40.00 | ≥ 20 |"
says "| training/char_lm_hm_lstm graph | 3x512, batch 64, window 100 | bfloat16 | on | 654,321 | 0.50 | 1,250 |"
says "400 steps, 1 epochs completed; 501,748 characters/s (median), 10.0 s for an epoch of PTB (wanted: under 12 s); best validation 1.3000 bits per character at step 300; 2 updates skipped."
python3 - "$report/summary.json" <<'PY' || fail "summary.json"
import json, sys
summary = json.load(open(sys.argv[1]))
assert summary["tests"]["failed"] == ["text on a GPU/the control"], summary["tests"]
assert summary["tests"]["missing"] == ["persistent.xml"], summary["tests"]
assert [s["stage"] for s in summary["stages"]] == ["build", "tests"], summary["stages"]
assert summary["training"]["best_step"] == 300 and len(summary["benchmark"]["rows"]) == 10
PY

# What the training is run with.
eval "$(sed -n '/^faster_kernel() {/,/^}/p' tests/gpu.sh)"
[ "$(out=$report faster_kernel)" = on ] || fail "the faster kernel: $(out=$report faster_kernel)"
sed 's/654321.5/654321.3/' "$report/bench.json" >"$work/bench.json"
[ "$(out=$work faster_kernel)" = off ] || fail "the slower kernel is taken"
[ "$(out=$work/absent faster_kernel)" = off ] || fail "a kernel that was not timed is taken"

# Nothing but the start: everything is said to be missing.
mkdir "$work/empty"
head -n 1 "$report/stages.jsonl" >"$work/empty/stages.jsonl"
python3 tests/gpu_summary.py "$work/empty" || fail "a summary of nothing"
[ "$(grep -c "Not run" "$work/empty/summary.md")" = 3 ] || fail "summary of nothing: $(cat "$work/empty/summary.md")"
python3 tests/gpu_summary.py "$work/absent" 2>/dev/null && fail "a folder that is not there"

# What the programs of this very build write is what the summary reads.
live=$work/live
mkdir "$live"
cp "$work/empty/stages.jsonl" "$live"
"$bin/hmrnn_tests" -# "[#test_window_feed]" -r junit -o "$live/tests.xml" >/dev/null 2>&1 || true
"$bin/hmrnn_tests" -# "[#test_hm_lstm_persistent]" -r junit -o "$live/persistent.xml" >/dev/null 2>&1 || true
"$bin/hmrnn_bench" --quick --bf16 off --threads 1 --only core/hm_lstm --json "$live/bench.json" >/dev/null
"$bin/char_lm" train --corpus synthetic --synthetic-length 9000 --units 8 --embedding 4 --output-embedding 8 --batch 4 \
  --window 10 --steps 6 --log-every 2 --device cpu --threads 1 --out "$live/training" >/dev/null
python3 tests/gpu_summary.py "$live" || true
python3 - "$live/summary.json" <<'PY' || fail "summary of what the programs write: $(cat "$live/summary.md")"
import json, sys
summary = json.load(open(sys.argv[1]))
assert summary["tests"]["cases"] == 3 + 4 and summary["tests"]["missing"] == [], summary["tests"]
assert len(summary["benchmark"]["rows"]) == 7, summary["benchmark"]
training = summary["training"]
assert training["steps"] == 6 and training["characters_per_second"] > 0 and training["best_validation_bpc"] > 0, training
PY

# ---------------------------------------------------------------- carry
refuse "usage" tests/gpu_carry.sh
refuse "is not empty" tests/gpu_carry.sh "$report"
if [ "$("${CXX:-g++}" -print-file-name=libpugixml.so)" = libpugixml.so ]; then
  echo "skipped: no libpugixml to carry"
  exit 0
fi
if printf '#include <catch2/catch_all.hpp>\n' | "${CXX:-g++}" -E -x c++ - >/dev/null 2>&1; then
  refuse "Catch2 3 is installed" tests/gpu_carry.sh "$work/deps"
  [ ! -e "$work/deps" ] || fail "a folder was made although nothing can be carried"
  exit 0
fi
tests/gpu_carry.sh "$work/deps" >/dev/null
[ "$(du -sm "$work/deps" | cut -f1)" -lt 16 ] || fail "too much to carry: $(du -sh "$work/deps")"
# With CMake not allowed to see Debian's packages.
configure() {
  cmake -G Ninja -S "$root" -B "$work/build" -DHMRNN_CUDA=OFF -DHMRNN_INSTALL=OFF -DCMAKE_IGNORE_PATH="/usr/lib/x86_64-linux-gnu/cmake;/usr/share/cmake/nlohmann_json" \
    -DCMAKE_DISABLE_FIND_PACKAGE_LibArchive=ON "$@" >"$work/out" 2>&1
}
configure -DHMRNN_DEPS="$work/deps" || fail "the project does not configure with HMRNN_DEPS: $(tail -n 20 "$work/out")"
grep -q "libraries in $work/deps; libarchive: " "$work/out" || fail "HMRNN_DEPS was not used: $(cat "$work/out")"
grep -q "$work/deps/include" "$work/build/compile_commands.json" || fail "no file is compiled with the headers of HMRNN_DEPS"
mv "$work/deps/include/cxxopts.hpp" "$work"
configure -DHMRNN_DEPS="$work/deps" && fail "a header is missing, and CMake does not say so"
grep -q "include/cxxopts.hpp is missing" "$work/out" || fail "the missing header is not named: $(cat "$work/out")"
