#!/usr/bin/env bash
# Tests the program hmrnn_bench: that it runs, that its JSON is complete, and that it rejects invalid options. It does
# not test how fast anything is.
set -euo pipefail
bin=${HMRNN_BIN_DIR:?the folder of the programs}/hmrnn_bench
. tests/support/script.sh

"$bin" --quick --bf16 off --threads 1 --json "$work/rows.json" >"$work/out" || fail "--quick: $(cat "$work/out")"
for word in "GEMM ceiling" core/lstm core/hm_lstm streaming/lstm_cell streaming/hm_lstm "streams/hm_lstm B64" model/char_lm_hm_lstm; do
  grep -q "$word" "$work/out" || fail "the table has no '$word': $(cat "$work/out")"
done
python3 - "$work/rows.json" <<'PY' || fail "the JSON is not what it should be"
import collections, json, math, sys
document = json.load(open(sys.argv[1]))
assert document["device"] == "cpu", document["device"]
rows = document["rows"]
count = collections.Counter(row["case"] for row in rows)
expected = {"core/lstm": 1, "core/hm_lstm": 6, "streaming/lstm_cell": 1, "streaming/hm_lstm": 6, "streams/hm_lstm": 3, "streams/lstm_cell": 3,
            "model/lstm": 1, "model/char_lm_lstm": 2, "model/char_lm_hm_lstm": 6,
            "training/lstm": 1, "training/char_lm_lstm": 1, "training/char_lm_hm_lstm": 1}
assert count == expected, count
ceiling = {(c["threads"], c["dtype"]): c["gflops"] for c in document["gemm_ceiling"]}
assert all(gflops > 0 for gflops in ceiling.values()) and ceiling, ceiling
baseline = {row["case"].split("/")[0]: row for row in rows if row["case"] in ("core/lstm", "model/lstm", "training/lstm", "streaming/lstm_cell")
            or row["case"] == "streams/hm_lstm" and row["batch"] == 1}
for row in rows:
    assert row["device"] == "cpu" and "launch" not in row and "backend" not in row, row
    for name in ("units", "batch", "window", "threads", "characters_per_second", "ratio_fp32", "ratio_same_dtype", "gflops",
                 "ceiling_share"):
        assert isinstance(row[name], (int, float)) and math.isfinite(row[name]) and row[name] > 0, (name, row)
    assert row["peak_bytes"] is None or row["peak_bytes"] >= 0, row
    assert row["dtype"] == "float32" and isinstance(row["layer_norm"], bool), row
    kind = row["case"].split("/")[0]
    if kind == "streams":
        assert (row["units"], row["window"]) == (128, 1) and row["batch"] in (1, 8, 64), row
    else:
        assert (row["units"], row["batch"], row["window"]) == ((128, 1, 1) if kind == "streaming" else (128, 16, 50)), row
    if row["case"] in ("streams/hm_lstm", "training/char_lm_hm_lstm"):
        assert row["rates"] == [0.44, 0.12], row
    elif row["case"].endswith("hm_lstm"):
        assert row["rates"] in ([0.21, 0.035], [0.5, 0.17], [1, 1]), row
    else:
        assert row["rates"] is None, row
    ratio = row["characters_per_second"] / baseline[kind]["characters_per_second"]
    assert abs(row["ratio_fp32"] / ratio - 1) < 1e-9 and row["ratio_same_dtype"] == row["ratio_fp32"], row
    # The final measurement of a ceiling may raise it, but never lowers it.
    assert row["ceiling_share"] >= row["gflops"] / ceiling[row["threads"], row["dtype"]] * (1 - 1e-9), row
# Useful work is counted from the boundaries: per character it grows with the rates; at (1, 1) it is a known number.
for layer_norm in (True, False):
    work = {tuple(row["rates"]): 1e9 * row["gflops"] / row["characters_per_second"] for row in rows
            if row["case"] == "core/hm_lstm" and row["layer_norm"] == layer_norm}
    assert work[0.21, 0.035] < work[0.5, 0.17] < work[1, 1], work
    d, T = 128, 50
    dense = 3 * 2 * 4 * d * d * (3 + 1 + 2 + 2 * (T - 1) / T)
    assert abs(work[1, 1] / dense - 1) < 1e-6, (work, dense)
peaks = [row["peak_bytes"] for row in rows if row["peak_bytes"] is not None]
assert not peaks or max(peaks) > 0
PY

"$bin" --quick --bf16 off --only "core/hm_lstm 3x128 B16 T50 (0.5,0.17) float32 norm" --json "$work/one.json" >"$work/out"
python3 -c 'import json, sys; rows = json.load(open(sys.argv[1]))["rows"]
assert [row["case"] for row in rows] == ["core/lstm", "core/hm_lstm"], rows' "$work/one.json" || fail "--only"

# --profile: time by operator on the CPU; a call's own time excludes the calls within it.
"$bin" --quick --bf16 off --threads 1 --profile --only core/hm_lstm --json "$work/profile.json" >"$work/out" || fail "--profile: $(cat "$work/out")"
grep -q "hmrnn::_hm_lstm_forward" "$work/out" || fail "--profile names no operator: $(cat "$work/out")"
python3 - "$work/profile.json" <<'PY' || fail "the JSON of --profile"
import json, sys
document = json.load(open(sys.argv[1]))
assert document["rows"] == [] and len(document["profiles"]) == 1 + 6, document
for profile in document["profiles"]:
    times = profile["times"]
    assert times == sorted(times, key=lambda t: -t["microseconds"]) and times[0]["microseconds"] > 0, profile
    assert all(t["calls"] >= 1 for t in times), profile
ours = {t["name"]: t for t in document["profiles"][1]["times"]}
forward, backward = ours["hmrnn::_hm_lstm_forward"], ours["hmrnn::_hm_lstm_backward"]
assert forward["calls"] == backward["calls"] == 1, (forward, backward)
# The public operator only dispatches: its time is that of the other two.
assert ours["hmrnn::hm_lstm"]["microseconds"] < forward["microseconds"], ours
PY

# --training adds complete updates to the usual run, but not those of --subnormals, which are called training/ too.
"$bin" --size 32,4,6 --bf16 off --rounds 1 --threads 1 --training --only training/ --json "$work/training.json" >"$work/out" || fail "--training: $(cat "$work/out")"
python3 -c 'import json, sys
cases = [row["case"] for row in json.load(open(sys.argv[1]))["rows"]]
assert cases == ["training/lstm", "training/char_lm_hm_lstm", "training/char_lm_lstm"], cases' "$work/training.json" || fail "--training"

"$bin" --quick --bf16 off --rounds 1 --regularised --only regularised --json "$work/regularised.json" >"$work/out"
python3 -c 'import collections, json, sys
count = collections.Counter(row["case"] for row in json.load(open(sys.argv[1]))["rows"] if row["case"].endswith("regularised"))
assert count == {"core/hm_lstm_regularised": 6, "model/char_lm_lstm_regularised": 2, "model/char_lm_hm_lstm_regularised": 6}, count' \
  "$work/regularised.json" || fail "--regularised"

# The program fails if the moments of a case do not match its name.
"$bin" --quick --bf16 off --rounds 1 --threads 1 --subnormals --only moments --json "$work/subnormals.json" >"$work/out" || fail "--subnormals: $(cat "$work/out")"
"$bin" --quick --bf16 off --rounds 1 --threads 1 --subnormals --only dead --json "$work/dead.json" >"$work/out" || fail "--subnormals: $(cat "$work/out")"
python3 -c 'import json, sys
first, second = ({row["case"] for row in json.load(open(name))["rows"]} for name in sys.argv[1:])
kinds = [kind + "/" for kind in ("training", "adam")]
assert first == {k + "ordinary_moments" + f for k in kinds for f in ("", "_flushed")}, first
assert second == {k + d + f for k in kinds for d in ("dead_detectors", "dead_layers") for f in ("", "_flushed")} | {"training/ordinary_moments"}, second' \
  "$work/subnormals.json" "$work/dead.json" || fail "--subnormals"

# Two processes against one of two threads, with a small size.
command=$(grep -m 1 '^hmrnn_bench --distributed' docs/many_machines.md)
"$bin" --quick ${command#hmrnn_bench } --json "$work/distributed.json" >"$work/out" 2>&1 || fail "--distributed: $(cat "$work/out")"
python3 - "$work/distributed.json" <<'PY' || fail "the JSON of --distributed"
import json, sys
document = json.load(open(sys.argv[1]))
one, two = document["distributed"]
assert document["rows"] == [] and (one["processes"], one["threads"], two["processes"], two["threads"]) == (1, 2, 2, 1), document
assert one["sum_bytes"] == one["sum_seconds"] == one["communication_share"] == 0, one
assert 0 < two["communication_share"] < 1 and two["sum_seconds"] > 0 and two["sum_bytes"] > 4 * 3 * 32 * 32, two
for row in (one, two):
    assert row["characters_per_second"] > 0 and len(row["updates"]) == 3 and row["updates"][0] == 1, row
assert max(abs(a - b) for a, b in zip(one["updates"], two["updates"])) < 1e-6, (one, two)
PY

"$bin" --quick --size 32,4,6 --bf16 off --threads 1 --only core/hm_lstm --json "$work/size.json" >/dev/null || fail "--size"
python3 -c 'import json, sys; rows = json.load(open(sys.argv[1]))["rows"]
assert {(row["units"], row["batch"], row["window"]) for row in rows} == {(32, 4, 6)}, rows' "$work/size.json" || fail "--size"

# --scaling: every case with each number of threads, and its ratio to one thread; --neighbour: beside a process that ends
# with the program.
"$bin" --quick --size 32,16,6 --bf16 off --rounds 3 --threads 3 --scaling --neighbour --only core/hm_lstm --json "$work/scaling.json" >"$work/out" ||
  fail "--scaling: $(cat "$work/out")"
grep -q "3 threads, median of 3 rounds, beside a busy process" "$work/out" || fail "--neighbour is not in the title: $(cat "$work/out")"
python3 - "$work/scaling.json" <<'PY' || fail "the JSON of --scaling"
import json, sys
document = json.load(open(sys.argv[1]))
rows = document["rows"]
assert document["neighbour"] is True
assert [row["threads"] for row in rows] == [1] * 7 + [2] * 7 + [3] * 7, rows
for i, row in enumerate(rows):
    assert row["case"] == rows[i % 7]["case"], rows
    if i < 7:
        assert "scaling" not in row, row
    else:
        assert abs(row["scaling"] * rows[i % 7]["characters_per_second"] / row["characters_per_second"] - 1) < 1e-9, row
PY
"$bin" --quick --bf16 off --neighbour --rounds 1000 >/dev/null 2>&1 &
bench=$!
neighbour=
for _ in $(seq 100); do
  neighbour=$(pgrep -P $bench) && break
  sleep 0.1
done
[ -n "$neighbour" ] || fail "--neighbour starts no process"
kill -KILL $bench
wait $bench 2>/dev/null || true
runs() { grep -q '^State:.*[RS] ' "/proc/$1/status" 2>/dev/null; }
for _ in $(seq 50); do
  runs "$neighbour" || break
  sleep 0.1
done
! runs "$neighbour" || fail "the neighbour of a program that was killed still runs"

refuse nonsense "$bin" --nonsense
refuse "one argument too many" "$bin" --quick extra
refuse "not a whole number" "$bin" --rounds three
refuse "not a whole number" "$bin" --rounds 3x
refuse "must be from 1" "$bin" --threads 0
refuse "--size 32,16: is not three numbers" "$bin" --size 32,16
refuse "--size 0: must be from 1" "$bin" --size 32,0,8
refuse "on, off, auto" "$bin" --bf16 maybe
refuse "is not one of on, off" "$bin" --persistent maybe
refuse "cannot be written" "$bin" --json "$work/absent/rows.json"
refuse "no case has it" "$bin" --quick --bf16 off --only nothing-like-this
refuse "is not one of cpu, cuda" "$bin" --device tpu
refuse "exclude each other" "$bin" --all --quick
refuse "has no --profile" "$bin" --distributed --profile
refuse "exclude each other" "$bin" --scaling --profile

# On a GPU every case of ours appears twice, replayed and launched; without one the program prints one line of error.
code=0
"$bin" --quick --device cuda --json "$work/gpu.json" >"$work/out" 2>"$work/err" || code=$?
if [ $code = 0 ]; then
  python3 - "$work/gpu.json" <<'PY' || fail "the JSON of a GPU is not what it should be"
import collections, json, sys
document = json.load(open(sys.argv[1]))
assert document["device"].startswith("cuda:0 ("), document["device"]
rows = document["rows"]
count = collections.Counter((row["case"], row.get("launch")) for row in rows)
assert count == {("core/lstm", None): 2, ("core/hm_lstm", "graph"): 4, ("core/hm_lstm", "launches"): 4,
                 ("core/hm_lstm_cell", None): 1, ("training/lstm", None): 2, ("training/char_lm_hm_lstm", "graph"): 2,
                 ("training/char_lm_hm_lstm", "launches"): 2}, count
assert all(row["device"] == "cuda:0" and row["characters_per_second"] > 0 for row in rows), rows
assert all(row["backend"] in ("cuDNN", "ATen") for row in rows if row["case"].endswith("/lstm")), rows
PY
else
  [ $code = 2 ] && [ "$(wc -l <"$work/err")" = 1 ] || fail "--device cuda: exit code $code, $(cat "$work/err")"
  echo "skipped: a GPU's rows, $(cat "$work/err")"
fi
# time_to_quality.sh: a validation that a tiny model soon reaches, and one that it does not reach.
quality() { HMRNN_BIN_DIR=$(dirname "$bin") tests/bench/time_to_quality.sh --corpus synthetic --units 16 --eval-every 25 \
  --both "--synthetic-length 20000 --batch 8 --window 20" "$@" >"$work/out" 2>"$work/err"; }
quality --bits 3.5 --minutes 2 --out "$work/quality" || fail "time_to_quality.sh: $(cat "$work/err")"
python3 - "$work" <<'PY' || fail "time_to_quality.sh: $(cat "$work/out")"
import json, re, sys
text = open(sys.argv[1] + "/out").read()
rows = {name: (int(steps), float(seconds)) for name, steps, seconds in re.findall(r"^\| (hm_lstm|lstm) \| (\d+) \| ([\d.]+) \|", text, re.M)}
assert set(rows) == {"hm_lstm", "lstm"}, text
for name, (steps, seconds) in rows.items():
    records = [json.loads(line) for line in open(f"{sys.argv[1]}/quality/{name}/metrics.jsonl")]
    evals = [r for r in records if r["event"] == "eval"]
    first = next(r for r in evals if r["bpc"] <= 3.5)
    assert first["step"] == steps, (name, steps, first)
    spent = sum(25 * 160 / r["characters_per_second"] for r in records if r["event"] == "train" and r["step"] <= steps)
    assert abs(spent - seconds) < 0.1, (spent, seconds)
ratio = float(re.search(r"^HM-LSTM / LSTM: ([\d.]+)$", text, re.M)[1])
assert abs(ratio - rows["hm_lstm"][1] / rows["lstm"][1]) <= 0.006, text
PY
quality --bits 0.01 --minutes 0.05 || fail "time_to_quality.sh: $(cat "$work/err")"
[ "$(grep -c 'not reached' "$work/out")" = 2 ] || fail "time_to_quality.sh does not say what was not reached: $(cat "$work/out")"
code=0
quality --bits 3.5 --hm "--target-rate 2" || code=$?
[ $code = 2 ] && [ "$(wc -l <"$work/err")" = 1 ] && grep -q "target-rate" "$work/err" || fail "time_to_quality.sh of a bad option: $code, $(cat "$work/err")"
# If the script is ended, its trainings end too.
quality --bits 0.01 --out "$work/orphans" &
script=$!
for _ in $(seq 100); do
  [ -e "$work/orphans/lstm/metrics.jsonl" ] && break
  sleep 0.1
done
pgrep -f "$work/orphans" >/dev/null || fail "time_to_quality.sh starts no training"
pkill -TERM -P $script -f time_to_quality.sh || kill -TERM $script
wait $script || true
for _ in $(seq 50); do
  pgrep -f "$work/orphans" >/dev/null || break
  sleep 0.1
done
! pgrep -f "$work/orphans" >/dev/null || fail "trainings of time_to_quality.sh still run"

"$(dirname "$bin")/hmrnn_products" 32 >"$work/out" || fail "hmrnn_products: $(cat "$work/out")"
for dtype in float32 bfloat16; do # bfloat16: ours round the results of the product forwards
  grep -q "no products of ours in $dtype" "$work/out" ||
    [ "$(awk -v dtype=$dtype '$1 == dtype && $NF < (dtype == "float32" ? 1e-5 : 5e-3)' "$work/out" | wc -l)" = 19 ] ||
    fail "hmrnn_products and brgemm differ in $dtype: $(cat "$work/out")"
done

"$bin" --help | grep -q -- --json || fail "--help does not name --json"
