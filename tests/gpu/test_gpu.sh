#!/usr/bin/env bash
# Tests tests/gpu.sh without a GPU: what it rejects, how it runs its stages (with fake programs), and its summary of
# recorded output and of the output of this build's programs.
set -euo pipefail
bin=$(realpath "${HMRNN_BIN_DIR:?the folder of the programs}")
. tests/support/script.sh

# ---------------------------------------------------------------- command line
refuse "unknown argument '--fast'" tests/gpu.sh --fast
refuse "--minutes: its value is missing" tests/gpu.sh --minutes
for value in x 0 -1 1e3 ""; do refuse "--minutes $value: not a number above 0" tests/gpu.sh --minutes "$value"; done
for value in x 0 1.5 ""; do refuse "--seconds $value: not a whole number above 0" tests/gpu.sh --seconds "$value"; done
refuse "--epochs many: neither auto nor a whole number" tests/gpu.sh --epochs many
refuse "'fast' is not one of tests persistent benchmark profile sizes sanitizer training" tests/gpu.sh --stages tests,fast
refuse "'0' is not a whole number above 0" tests/gpu.sh --stages tests:0
refuse "no such folder" tests/gpu.sh --data-dir "$work/absent"
refuse "no such folder" tests/gpu.sh --carried "$work/absent"
tests/gpu.sh --help | grep -q -- --minutes || fail "--help"
mkdir "$work/bin"
printf '#!/bin/sh\nexit 9\n' >"$work/bin/nvidia-smi"
chmod +x "$work/bin/nvidia-smi"
PATH=$work/bin:$PATH refuse "no GPU at hand" tests/gpu.sh --minutes 1.5 --out "$work/report" --work "$work/gpu"
[ ! -e "$work/report" ] && [ ! -e "$work/gpu" ] || fail "folders were made although there is no GPU"
printf '#!/bin/sh\necho "A GPU, 9.0, 1 MiB, 1"\n' >"$work/bin/nvidia-smi"
export PATH=$work/bin:$PATH
refuse "there is no training in" tests/gpu.sh --resume --work "$work/gpu"
[ "$(id -u)" = 0 ] || refuse "cannot be written" tests/gpu.sh --out /proc/report --work "$work/gpu"

# ---------------------------------------------------------------- summary
report=$work/recorded
mkdir -p "$report/training"
cat >"$report/stages.jsonl" <<'TXT'
{"stage": "start", "gpu": "NVIDIA H200, 9.0, 143771 MiB, 570.86", "commit": "1234abc"}
{"stage": "build", "code": 0, "seconds": 151, "at": 3}
{"stage": "tests", "code": 124, "seconds": 40, "at": 154}
{"stage": "persistent", "code": 1, "seconds": 2, "at": 194}
{"stage": "sanitizer", "left_out": "there is no compute-sanitizer"}
{"stage": "options", "train": "--preset ptb"}
TXT
# Catch2's output: a case that passed, one that failed, one that was skipped, and one that was cut off.
cat >"$report/tests.xml" <<'TXT'
<?xml version="1.0" encoding="UTF-8"?>
<Catch name="hmrnn_tests">
  <Group name="hmrnn_tests">
    <TestCase name="text on a GPU" tags="[cuda]" filename="tests/train/test_a.cpp" line="59">
      <Section name="step boundaries" filename="tests/train/test_a.cpp" line="65">
        <OverallResults successes="5" failures="0" expectedFailures="0"/>
      </Section>
      <OverallResult success="true"/>
    </TestCase>
    <TestCase name="the control" tags="[cuda]" filename="tests/train/test_a.cpp" line="76">
      <Expression success="false" type="CHECK" filename="tests/train/test_a.cpp" line="80">
        <Original>
          a == b
        </Original>
        <Expanded>
          1 == 2
        </Expanded>
      </Expression>
      <OverallResult success="false"/>
    </TestCase>
    <TestCase name="one that asks" tags="[cuda]" filename="tests/train/test_a.cpp" line="90">
      <OverallResult success="true">
        <StdOut>
skipped: no second device
        </StdOut>
      </OverallResult>
    </TestCase>
    <TestCase name="one that takes long" tags="[cuda]" filename="tests/train/test_a.cpp" line="99">
      <Section name="step bou
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
           "gemm_ceiling": []}, open(sys.argv[1] + "/benchmark.json", "w"))
times = [{"name": f"void hmrnn::kernel_{i}<float>", "calls": 10 * i, "microseconds": 100.0 / i} for i in range(1, 11)]
json.dump({"profiles": [{**rows[6], "times": times}, {**rows[3], "times": times}, rows[0]]},
          open(sys.argv[1] + "/profile.json", "w"))
json.dump({"split": "test", "bpc": 1.25, "characters": 442422, "updates": [1, 0.2, 0.03]},
          open(sys.argv[1] + "/evaluation.json", "w"))
open(sys.argv[1] + "/training.txt", "w").write("ptb: …\n--cuda-persistent auto: on, a window takes 3 ms in one kernel\nstep 1\n")
open(sys.argv[1] + "/sanitizer_memcheck.txt", "w").write("========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n")
open(sys.argv[1] + "/sanitizer_racecheck.txt", "w").write("========= COMPUTE-SANITIZER\n")
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
says "| build | 3 | 151 | 0 |"
says "| tests | 154 | 40 | 124 (cut off) |"
says "| sanitizer |  |  | left out: there is no compute-sanitizer |"
says "3 cases, 1 failures."
says "* FAILED: the control (tests/train/test_a.cpp:80)"
says "* one that asks: skipped: no second device"
says '* tests.xml: cut off in "one that takes long"'
says "* persistent.xml: was not written"
says "* memcheck: ERROR SUMMARY: 0 errors"
says "* racecheck: not run to its end"
says "| 3x512, batch 64, bfloat16, graph / cuDNN's LSTM | 0.55 | ≥ 0.5 |"
says "| 3x512, batch 64, bfloat16, persistent / cuDNN's LSTM | 0.95 | ≥ 1 |"
says "| 3x512, batch 64, bfloat16, launches / cuDNN's LSTM | 0.45 |  |"
says "| 3x512, batch 64, float32, graph / cuDNN's LSTM | 0.80 |  |"
says "| 3x1024, batch 128, bfloat16, graph / ?'s LSTM | not measured | ≥ 0.6 |"
says "| 3x512, float32, graph / HMLSTMCell stepped by autograd | 40.00 | ≥ 20 |"
says "| training/char_lm_hm_lstm graph | 3x512, batch 64, window 100 | bfloat16 | on | 654,321 | 0.50 | 1,250 |"
says 'core/hm_lstm persistent, 3x512, bfloat16, norm:'
says '| of 293 µs | calls | µs | share |'
says '| `void hmrnn::kernel_8<float>` | 80 | 12.5 | 4.3% |'
grep -q kernel_9 "$report/summary.md" && fail "more names than a reader wants"
says 'core/lstm cuDNN, 3x512, float32:'
says 'nothing was recorded.'
grep -q "core/hm_lstm launches, 3x512, bfloat16, norm" "$report/summary.md" && fail "launches are profiled in the summary"
says '`--preset ptb`'
says "--cuda-persistent auto: on, a window takes 3 ms in one kernel"
says "Test: 1.2500 bits per character, 553,028 bits over 442,422 characters (64 streams)."
says "400 steps, 1 epochs completed; 501,748 characters/s (median), 10.0 s for an epoch of PTB (wanted: under 12 s); best validation 1.3000 bits per character at step 300; 2 updates skipped."
python3 - "$report/summary.json" <<'PY' || fail "summary.json"
import json, sys
summary = json.load(open(sys.argv[1]))
assert len(summary["tests"]["missing"]) == 2, summary["tests"]
assert [s["stage"] for s in summary["stages"]] == ["build", "tests", "persistent", "sanitizer"], summary["stages"]
assert len(summary["profiles"][0]["times"]) == 10, summary["profiles"]
assert summary["training"]["best_step"] == 300 and len(summary["benchmark"]["rows"]) == 10
PY

# ---------------------------------------------------------------- stages
# Fake programs: they log how they are called and write the output recorded above.
export CMAKE_PREFIX_PATH=$work/torch RECORDED=$report CALLS=$work/calls HMRNN_DATA_DIR=$work/absent
mkdir -p "$work/torch/lib" "$work/torch/include/torch/headeronly" "$work/carry/bin" "$work/carry/lib"
touch "$work/torch/lib/libtorch_cpu.so"
printf '#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 11\n#define TORCH_VERSION_PATCH 0\n' \
  >"$work/torch/include/torch/headeronly/version.h"
printf 'commit abc1234\ntorch 2.11.0\n' >"$work/carry/carried.txt"
cat >"$work/carry/bin/hmrnn_tests" <<'SH'
#!/bin/sh
echo "hmrnn_tests $1" >>"$CALLS"
case $LD_LIBRARY_PATH in */torch/lib:*/carry/lib) ;; *) exit 7 ;; esac
[ "$2" = -r ] || exit 0 # when run under compute-sanitizer
[ "$1" != "${FAILS:-}" ] || exit 3
if [ -n "${SLOW:-}" ]; then cp "$RECORDED/tests.xml" "$5"; exec sleep 60; fi
cat >"$5" <<TXT
<Catch name="hmrnn_tests"><Group name="hmrnn_tests"><TestCase name="$(echo "$1" | tr -d '"')"><OverallResult success="true"/></TestCase></Group></Catch>
TXT
SH
cat >"$work/carry/bin/hmrnn_bench" <<'SH'
#!/bin/sh
echo "hmrnn_bench $*" >>"$CALLS"
for last; do :; done
cp "$RECORDED/$(basename "$last")" "$last"
SH
cat >"$work/carry/bin/char_lm" <<'SH'
#!/bin/sh
[ "$1" != --help ] || exit "${DOES_NOT_START:-0}"
echo "char_lm $*" >>"$CALLS"
cp "$OUT/summary.md" "$CALLS.$1.md" 2>/dev/null # the summary at this time
if [ "$1" = eval ]; then cat "$RECORDED/evaluation.json"; exit 0; fi
for last; do :; done
mkdir -p "$last/best" "$last/last"
cp "$RECORDED/training/metrics.jsonl" "$last"
head -c 15000001 /dev/zero >"$last/best/model.safetensors"
python3 - "$last/last/state.safetensors" <<'PY'
import json, struct, sys
header = json.dumps({"__metadata__": {"hmrnn": json.dumps({"elapsed_seconds": 30})}}).encode()
open(sys.argv[1], "wb").write(struct.pack("<Q", len(header)) + header)
PY
SH
cat >"$work/bin/compute-sanitizer" <<'SH'
#!/bin/sh
echo "compute-sanitizer $1 $2" >>"$CALLS"
while [ "${1#--}" != "$1" ]; do shift 2; done
"$@" && echo "========= ERROR SUMMARY: 0 errors"
SH
chmod +x "$work"/carry/bin/* "$work/bin/compute-sanitizer"
python3 - "$work" <<'PY'
import pathlib, sys, tarfile
work = pathlib.Path(sys.argv[1])
with tarfile.open(work / "carry/ptb.tar.xz", "w:xz") as archive:
    for split in ("train", "valid", "test"):
        path = work / f"ptb.char.{split}.txt"
        path.write_text("a b c _ d\n" * 100000)
        archive.add(path, path.name)
PY
# gpu CODE ARGUMENT…: runs tests/gpu.sh and checks its exit code.
export OUT=$work/home
gpu() {
  local wanted=$1 code=0
  shift
  rm -f "$CALLS"*
  tests/gpu.sh --carried "$work/carry" --work "$work/gpu" --out "$OUT" "$@" >"$work/out" 2>"$work/err" || code=$?
  [ $code = "$wanted" ] || fail "gpu.sh $*: exit code $code, not $wanted: $(cat "$work/err" "$work/out")"
}
called() { grep -qE -- "$1" "$CALLS" || fail "no call '$1' among: $(cat "$CALLS")"; }
reported() { grep -qE -- "$1" "$OUT/summary.md" || fail "no line '$1' in the summary: $(cat "$OUT/summary.md")"; }

gpu 0 --epochs auto --train-options "--schedule cosine --lr 0.003" --minutes 2
sed -E 's/ --(json|out|resume|minutes).*//' "$CALLS" >"$work/order"
cat >"$work/wanted" <<'TXT'
hmrnn_tests [cuda]~[persistent]~"*at all sizes*"
hmrnn_tests [persistent]
hmrnn_bench --device cuda --persistent on --rounds 3
hmrnn_bench --device cuda --persistent on --profile --only 3x512
hmrnn_tests [cuda]"*at all sizes*"
compute-sanitizer --tool memcheck
hmrnn_tests [sanitizer]
compute-sanitizer --tool racecheck
hmrnn_tests [sanitizer]
compute-sanitizer --tool synccheck
hmrnn_tests [sanitizer]
TXT
head -n 11 "$work/order" | cmp - "$work/wanted" || fail "the order of the stages: $(cat "$CALLS")"
# 120 s of 654,321 characters/s over 500,000 characters, minus a margin.
called "^char_lm train --preset ptb --data-dir $work/gpu/ptb --dtype auto --epochs 133 --minutes 2 --log-every 100 --schedule cosine --lr 0.003 --device cuda --out $work/gpu/run"
called "^char_lm eval $work/gpu/run --split test --streams 64 --device cuda --json"
grep -q "graph / cuDNN's LSTM" "$CALLS.train.md" || fail "the summary is not written after every stage"
grep -q "Not run to its first record" "$CALLS.train.md" || fail "the summary knows of a training that was not"
reported "^Commit .*, LibTorch 2.11.0"
reported "^. programs . 0 . [0-9]+ . 0, carried, of commit abc1234"
reported "^Test: 1.2500 bits"
[ "$(cat "$OUT"/model.safetensors.* | wc -c)" = 15000001 ] || fail "the model in parts: $(ls -l "$OUT")"
[ "$(ls "$OUT" | wc -l)" -le 8 ] || fail "more files to take home than eight: $(ls "$OUT")"
tar -tzf "$OUT/details.tar.gz" | grep -q training.txt || fail "details.tar.gz: $(tar -tzf "$OUT/details.tar.gz")"

# A resumed training: counts the minutes of the first call and keeps all its results.
gpu 0 --stages training --resume --minutes 1
called "^char_lm train --resume --minutes 1.5 --log-every 100 --device cuda --out $work/gpu/run"
[ "$(grep -c ^char_lm "$CALLS")" = 2 ] && ! grep -q ^hmrnn "$CALLS" || fail "--stages training: $(cat "$CALLS")"
reported "^. persistent . "
[ "$(grep -c "^| training " "$OUT/summary.md")" = 2 ] || fail "the stages of both calls: $(cat "$OUT/summary.md")"

# A stage that hangs is ended, keeps its results, and does not stop the others.
SLOW=1 gpu 1 --stages benchmark,tests:1
reported "^. tests . .* 124 .cut off. "
reported "cut off in .one that takes long"
called "^hmrnn_bench"
# If the persistent kernel's tests fail, later stages do not use it.
FAILS='[persistent]' gpu 1 --stages persistent,benchmark,training
called "^hmrnn_bench --device cuda --persistent off"
called "^char_lm train .* --cuda-persistent off "
# Without time or a tool, a stage is skipped and named.
gpu 0 --seconds 3
[ ! -e "$CALLS" ] || fail "3 seconds were enough for $(cat "$CALLS")"
[ "$(grep -c "left out: no time is left" "$OUT/summary.md")" = 7 ] || fail "what 3 seconds leave out: $(cat "$OUT/summary.md")"
rm "$work/bin/compute-sanitizer"
if ! PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer >/dev/null; then
  gpu 0 --stages sanitizer
  reported "^. sanitizer .* left out: there is no compute-sanitizer"
fi

# Programs that do not start are built.
for tool in cmake ninja nvcc; do printf '#!/bin/sh\necho "CMake Error: a stand-in"\nexit 1\n' >"$work/bin/$tool"; done
chmod +x "$work"/bin/*
DOES_NOT_START=1 gpu 1 --stages tests
reported "^. programs .* left out: the carried programs do not start"
reported "^. configure . .* 1 .$"
grep -q "CMake Error: a stand-in" "$work/err" || fail "why it does not build: $(cat "$work/err")"
sed -i 's/2.11.0/2.12.0/' "$work/carry/carried.txt"
gpu 1 --stages tests
reported "left out: the carried programs are for LibTorch 2.12.0"
rm "$work"/bin/{cmake,ninja,nvcc}
unset CMAKE_PREFIX_PATH HMRNN_DATA_DIR

# The same if Catch2 handled SIGTERM and completed its file.
mkdir "$work/ended"
cp "$report/stages.jsonl" "$work/ended"
sed '/one that takes long/,$d; s|filename="tests|filename="/some/where/tests|' "$report/tests.xml" >"$work/ended/tests.xml"
cat >>"$work/ended/tests.xml" <<'TXT'
    <TestCase name="one that takes long" tags="[cuda]" filename="tests/train/test_a.cpp" line="99">
      <Expression success="false" filename="tests/train/test_a.cpp" line="101">
        <FatalErrorCondition filename="tests/train/test_a.cpp" line="101">
          SIGTERM - Termination request signal
        </FatalErrorCondition>
      </Expression>
      <OverallResult success="false"/>
    </TestCase>
  </Group>
</Catch>
TXT
python3 tests/gpu_summary.py "$work/ended" && fail "tests that were cut off pass"
grep -qx "3 cases, 1 failures." "$work/ended/summary.md" || fail "a case that was cut off counts: $(cat "$work/ended/summary.md")"
grep -qxF '* tests.xml: cut off in "one that takes long"' "$work/ended/summary.md" || fail "cut off: $(cat "$work/ended/summary.md")"
grep -qxF '* FAILED: the control (tests/train/test_a.cpp:80)' "$work/ended/summary.md" || fail "where: $(cat "$work/ended/summary.md")"

# If only the start was recorded, everything else is reported as not run.
mkdir "$work/empty"
head -n 1 "$report/stages.jsonl" >"$work/empty/stages.jsonl"
python3 tests/gpu_summary.py "$work/empty" || fail "a summary of nothing"
[ "$(grep -c "Not run" "$work/empty/summary.md")" = 3 ] || fail "summary of nothing: $(cat "$work/empty/summary.md")"
python3 tests/gpu_summary.py "$work/absent" 2>/dev/null && fail "a folder that is not there"

# The filters select by name: every case tagged [cuda] is in one of the three stages, and --small has some of each.
cases() { { "$bin/hmrnn_tests" "$1" --list-test-names-only || true; } | sed '/^$/d' | sort; } # its exit code is the number of cases
filter() { # filter SMALL STAGE
  (small=$1 launch=() bin=; . tests/gpu_stages.sh; run_tests() { echo "$3"; }; "stage_$2" 1)
}
for stage in tests persistent sizes; do cases "$(filter no $stage)"; done | sort >"$work/chosen"
cases "[cuda]" | cmp - "$work/chosen" || fail "the filters of the stages: $(cases "[cuda]" | diff - "$work/chosen")"
[ "$(cases "$(filter no sizes)" | wc -l)" = 1 ] || fail "stage sizes: $(cases "$(filter no sizes)")"
for stage in tests persistent; do
  all=$(cases "$(filter no $stage)" | wc -l) some=$(cases "$(filter yes $stage)" | wc -l)
  [ "$some" -ge 2 ] && [ "$some" -lt "$all" ] || fail "--small has $some of $all cases of $stage"
done

# The summary reads the output of this build's programs.
live=$work/live
mkdir "$live"
cp "$work/empty/stages.jsonl" "$live"
"$bin/hmrnn_tests" -# "[#test_window_feed]" -r xml -o "$live/tests.xml" >/dev/null 2>&1 || true
"$bin/hmrnn_tests" -# "[#test_hm_lstm_persistent]" -r xml -o "$live/persistent.xml" >/dev/null 2>&1 || true
"$bin/hmrnn_bench" --quick --bf16 off --threads 1 --only core/hm_lstm --json "$live/benchmark.json" >/dev/null
"$bin/hmrnn_bench" --quick --bf16 off --threads 1 --profile --only core/lstm --json "$live/profile.json" >/dev/null
"$bin/char_lm" train --corpus synthetic --synthetic-length 9000 --units 8 --embedding 4 --output-embedding 8 --batch 4 \
  --window 10 --steps 6 --log-every 2 --device cpu --threads 1 --out "$live/training" >/dev/null
"$bin/char_lm" eval "$live/training" --threads 1 --device cpu --json >"$live/evaluation.json"
python3 tests/gpu_summary.py "$live" || true
python3 - "$live/summary.json" <<'PY' || fail "summary of what the programs write: $(cat "$live/summary.md")"
import json, sys
summary = json.load(open(sys.argv[1]))
assert summary["tests"]["cases"] == 3 + 4 and summary["tests"]["missing"] == [], summary["tests"]
assert len(summary["benchmark"]["rows"]) == 7, summary["benchmark"]
assert summary["profiles"][0]["times"][0]["microseconds"] > 0, summary["profiles"]
training = summary["training"]
assert training["evaluation"]["total_bits"] > 0, training
assert training["steps"] == 6 and training["characters_per_second"] > 0 and training["best_validation_bpc"] > 0, training
PY
