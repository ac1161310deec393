#!/usr/bin/env bash
# Tests the program handwriting: every command on a small model, stop and resume, and every error of the user.
set -euo pipefail

# shellcheck source=tests/support/program.sh
. tests/support/program.sh handwriting

small="--synthetic-lines 60 --units 10,8,6 --output-embedding 9 --mixtures 3 --batch 4 --window 60 --lr 0.003 --threads 1
  --device cpu --seed 3"

# ---------------------------------------------------------------- synthesize
"$bin" synthesize --out ink --lines 60
[ "$(find ink/lineStrokes -name '*.xml' | wc -l)" = 60 ] || fail "synthesize wrote $(find ink -type f | wc -l) files"
python3 - << 'EOF' || fail "the synthetic files are not IAM-OnDB's format, or their word ends end no stroke"
import glob, os
import xml.etree.ElementTree as tree
ends = {row.split()[0]: [int(i) for i in row.split()[1:]] for row in open("ink/word_ends.txt")}
for path in sorted(glob.glob("ink/lineStrokes/*/*/*.xml")):
    name = os.path.basename(path)[:-4]
    assert path == f"ink/lineStrokes/{name[:3]}/{name[:7]}/{name}.xml", path
    assert open(path, encoding="latin-1").readline().strip() == '<?xml version="1.0" encoding="ISO-8859-1"?>'
    root = tree.parse(path).getroot()
    assert root.tag == "WhiteboardCaptureSession"
    assert root.find("WhiteboardDescription/SensorLocation").get("corner") == "top_left"
    last, count = set(), 0
    for stroke in root.findall("StrokeSet/Stroke"):
        points = stroke.findall("Point")
        assert points and all(float(p.get("x")) > 0 and float(p.get("y")) > 0 and p.get("time") for p in points)
        count += len(points)
        last.add(count - 1)
    assert 6 <= len(ends[name]) <= 9 and set(ends[name]) <= last and ends[name][-1] == count - 1, name
EOF
refuse "is not empty" synthesize --out ink --lines 3

# ---------------------------------------------------------------- train
"$bin" train $small --out run --steps 30 --eval-every 12 --checkpoint-every 10 --log-every 5 > train.txt
for file in best/model last/model last/state; do [ -s "run/$file.safetensors" ] || fail "run/$file.safetensors is missing"; done
grep -q '60 files, .* kept, mean length' train.txt || fail "the corpus is not reported: $(head -3 train.txt)"
grep -q '^step 30 .* nats/point .*points/s' train.txt || fail "no plain progress lines: $(cat train.txt)"
grep -q $'\r' train.txt && fail "a file got a terminal's progress line"
json run/metrics.jsonl '[r["step"] for r in rows if r["event"] == "train"] == [5, 10, 15, 20, 25, 30]'
json run/metrics.jsonl '[r["step"] for r in rows if r["event"] == "eval"] == [12, 24, 30]'
json run/metrics.jsonl 'all(set(r) == {"event", "step", "epoch", "loss", "log_likelihood", "grad_norm", "lr", "slope", "updates", "points_per_second"} for r in rows)'
json run/metrics.jsonl '[r for r in rows if r["event"] == "eval"][-1]["loss"] < [r for r in rows if r["event"] == "eval"][0]["loss"]'

# The same lines from files (which imply iam) give the same training; a second run reads the cache.
"$bin" train $small --data-dir ink --out files --steps 30 --eval-every 12 > files.txt
cmp run/last/model.safetensors files/last/model.safetensors > /dev/null && fail "the checkpoint does not name its corpus"
grep -q 'cache: written to .*/cache/ink/' files.txt || fail "no word about the cache: $(cat files.txt)"
python3 -c 'import tarfile
with tarfile.open("lineStrokes-all.tar.xz", "w:xz") as tar: tar.add("ink/lineStrokes", "lineStrokes")' # a bare system has no xz
"$bin" train $small --data-dir lineStrokes-all.tar.xz --out archive --steps 30 --eval-every 12 > archive.txt
"$bin" train $small --data-dir ink --out again --steps 1 > again.txt
grep -q 'cache: read from' again.txt || fail "the second start does not read the cache: $(cat again.txt)"
python3 - << 'EOF' || fail "the same lines from files, archive and generator are not the same training"
import json, struct
def tensors(run):
    data = open(f"{run}/last/model.safetensors", "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    meta = json.loads(json.loads(data[8:8 + size])["__metadata__"]["hmrnn"])
    return data[8 + size:], meta
runs = {name: tensors(name) for name in ("run", "files", "archive")}
assert runs["run"][0] == runs["files"][0] == runs["archive"][0]
meta = runs["files"][1]
assert meta["corpus"]["name"] == "iam" and meta["corpus"]["data_dir"].endswith("/ink") and meta["corpus"]["split"] == "paper"
assert meta["kind"] == "handwriting" and meta["mixtures"] == 3 and meta["normalisation"]["coordinates"] == "offsets"
assert runs["run"][1]["corpus"]["name"] == "synthetic"
EOF

# Other options override a preset in any order.
for order in "--preset iam --units 6 --layers 2" "--units 6 --layers 2 --preset iam"; do
  rm -rf preset
  "$bin" train $order --data-dir ink --out preset --batch 2 --window 10 --steps 1 --device cpu > /dev/null
  python3 - << 'EOF' || fail "preset with overrides: $order"
import json, struct
data = open("preset/last/model.safetensors", "rb").read()
meta = json.loads(json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]["hmrnn"])
assert meta["hidden_sizes"] == [6, 6] and meta["output_embedding_size"] == 400 and meta["mixtures"] == 20
EOF
done

# ---------------------------------------------------------------- stop and resume
begin stopped
kill -s TERM $pid
ends 143 SIGTERM
grep -q 'saved; go on with --resume' signal.txt || fail "no word about the resume: $(tail -1 signal.txt)"
stopped_at=$(sed -n 's/.*after step \([0-9]*\),.*/\1/p' signal.txt)
[ "${stopped_at:-0}" -ge 15 ] || fail "stopped at step '$stopped_at'"
steps=$((stopped_at + 17))
"$bin" train --out stopped --resume --steps $steps > /dev/null
"$bin" train $small --out whole --steps $steps --eval-every 40 --log-every 5 --checkpoint-every 100000 > /dev/null
cmp whole/last/model.safetensors stopped/last/model.safetensors || fail "resumed weights differ"
strip() { sed '/"event":"resume"/d; s/,"points_per_second":[^}]*//' "$1"; }
[ "$(strip whole/metrics.jsonl)" = "$(strip stopped/metrics.jsonl)" ] || fail "resumed records differ"

# ---------------------------------------------------------------- eval
"$bin" eval run --json --export mixture.safetensors > eval.json
json eval.json 'len(rows) == 1 and list(rows[0]) == ["split", "sequences", "points", "log_likelihood", "nll_per_point", "normalisation", "updates", "cost"]'
json eval.json 'rows[0]["split"] == "test" and rows[0]["sequences"] == 3 and len(rows[0]["updates"]) == 3 and rows[0]["updates"][0] == 1'
json eval.json 'abs(rows[0]["log_likelihood"] + rows[0]["nll_per_point"] * rows[0]["points"] / rows[0]["sequences"]) < 1e-6'
json eval.json 'set(rows[0]["normalisation"]) == {"coordinates", "mean", "deviation"} and rows[0]["normalisation"]["deviation"][0] > 5'
# Recomputes the log-likelihood in double precision from the exported mixtures.
python3 - << 'EOF' || fail "the exported mixtures do not give the log-likelihood that eval printed"
import json, math, struct
data = open("mixture.safetensors", "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + size])
def load(name):
    entry = header[name]
    begin, end = entry["data_offsets"]
    raw = data[8 + size + begin:8 + size + end]
    code, width = {"F32": ("f", 4), "I64": ("q", 8)}[entry["dtype"]]
    return struct.unpack(f"<{len(raw) // width}{code}", raw), entry["shape"]
weight, (N, M) = load("weight")
mean, deviation, rho, up, target = (load(n)[0] for n in ("mean", "deviation", "correlation", "pen_up", "target"))
sequence = load("sequence")[0]
printed = json.load(open("eval.json"))
assert N == printed["points"] and len(set(sequence)) == printed["sequences"]
total = 0.0
for i in range(N):
    x, y, pen = target[3 * i:3 * i + 3]
    density = 0.0
    for m in range(i * M, (i + 1) * M):
        sx, sy, r = deviation[2 * m], deviation[2 * m + 1], rho[m]
        u, v = (x - mean[2 * m]) / sx, (y - mean[2 * m + 1]) / sy
        z = (u * u + v * v - 2 * r * u * v) / (1 - r * r)
        density += weight[m] * math.exp(-z / 2) / (2 * math.pi * sx * sy * math.sqrt(1 - r * r))
    total += math.log(density) + math.log(up[i] if pen else 1 - up[i])
error = abs(total / printed["sequences"] - printed["log_likelihood"])
assert error < 1e-3 * max(1, abs(printed["log_likelihood"]) / 1000), error
EOF
"$bin" eval run --split valid > eval.txt
grep -q '^valid of synthetic: log-likelihood .* nats a line' eval.txt || fail "eval's text: $(cat eval.txt)"
"$bin" eval run --data-dir ink --json > from_files.json
[ "$(cat from_files.json)" = "$(cat eval.json)" ] || fail "the same lines from files score differently: $(cat from_files.json)"

# ---------------------------------------------------------------- draw
"$bin" draw run --out a.svg --count 3 --points 80 --bias 1 --seed 7
"$bin" draw run --out b.svg --count 3 --points 80 --bias 1 --seed 7
"$bin" draw run --out c.svg --count 3 --points 80 --bias 1 --seed 8
cmp -s a.svg b.svg || fail "the same seed draws different lines"
cmp -s a.svg c.svg && fail "different seeds draw the same lines"
line=ink/lineStrokes/s00/s00-000/s00-000-01.xml
"$bin" draw run --out d.svg --count 3 --points 80 --bias 1 --seed 7 --style $line
cmp -s a.svg d.svg && fail "the style changes nothing"
"$bin" draw run --out r.svg --reconstruct $line --scale 0.05
python3 - << 'EOF' || fail "the drawings are not what they should be"
import re
import xml.etree.ElementTree as tree
ns = "{http://www.w3.org/2000/svg}"
def read(name):
    root = tree.parse(name).getroot()
    assert root.tag == ns + "svg"
    width, height = float(root.get("width")[:-2]), float(root.get("height")[:-2])
    assert root.get("width").endswith("mm") and root.get("viewBox") == f"0 0 {width:.2f} {height:.2f}"
    paths = []
    for p in root.iter(ns + "path"):
        points = [tuple(map(float, q.split())) for q in re.split("[ML]", p.get("d"))[1:]]
        assert len(points) >= 2
        assert all(-0.01 <= x <= width + 0.01 and -0.01 <= y <= height + 0.01 for x, y in points)
        paths.append((p.get("stroke"), points))
    return width, height, paths
_, _, drawn = read("a.svg")
assert 3 <= len(drawn) and sum(len(points) for _, points in drawn) >= 240 and {c for c, _ in drawn} == {"black"}
width, height, paths = read("r.svg")
# A given line: three panels, upright and to scale.
points = [(float(p.get("x")), float(p.get("y"))) for p in tree.parse("ink/lineStrokes/s00/s00-000/s00-000-01.xml").getroot().iter("Point")]
xs, ys = [p[0] for p in points], [p[1] for p in points]
assert abs(width - (max(xs) - min(xs)) * 0.05 - 10) < 0.02
strokes = len(tree.parse("ink/lineStrokes/s00/s00-000/s00-000-01.xml").getroot().findall("StrokeSet/Stroke"))
single = [q for _, p in paths[:strokes] for q in (p[:1] if len(p) == 2 and p[0] == p[1] else p)]
assert len(single) == len(points)
top = min(y for _, y in single) - min(ys) * 0.05
for (x, y), (X, Y) in zip(points, single):
    assert abs(X - 5 - (x - min(xs)) * 0.05) < 0.02 and abs(Y - top - y * 0.05) < 0.02
assert len({c for c, _ in paths}) > 3
EOF

# ---------------------------------------------------------------- align
"$bin" align run --split all --json > align.json
json align.json 'rows[0]["tolerance"] == 2 and [l["layer"] for l in rows[0]["layers"]] == [1, 2]'
json align.json 'all(set(l[e]) == {"precision", "recall", "f1", "boundaries", "events", "chance", "clock"} for l in rows[0]["layers"] for e in ("pen_up", "word_end"))'
json align.json 'all(l["word_end"]["events"] <= l["pen_up"]["events"] for l in rows[0]["layers"])'
json align.json 'all(0 <= v <= 1 for l in rows[0]["layers"] for e in ("pen_up", "word_end") for f in (l[e], l[e]["chance"], l[e]["clock"]) for k, v in f.items() if k in ("precision", "recall", "f1"))'
python3 - << 'EOF' || fail "align counts other events than the files have"
import json
import xml.etree.ElementTree as tree, glob
ends = [row.split() for row in open("ink/word_ends.txt")]
words = strokes = 0
kept = set()
for path in glob.glob("ink/lineStrokes/*/*/*.xml"):
    root = tree.parse(path).getroot()
    if len(root.findall("StrokeSet/Stroke/Point")) >= 300:
        kept.add(path.split("/")[-1][:-4])
        strokes += len(root.findall("StrokeSet/Stroke")) - 1  # the last point is not evaluated
words = sum(len(row) - 2 for row in ends if row[0] in kept)
row = json.load(open("align.json"))
assert row["sequences"] == len(kept)
assert all(l["pen_up"]["events"] == strokes and l["word_end"]["events"] == words for l in row["layers"])
EOF
"$bin" align run --data-dir ink > align.txt
grep -q '^z1 .*pen_up' align.txt || fail "align's text: $(cat align.txt)"
grep -q word_end align.txt && fail "files have no known words"

# LSTM, Bernoulli boundaries, absolute coordinates
"$bin" train $small --out lstm --core lstm --steps 2 > /dev/null
"$bin" eval lstm --json > lstm.json
json lstm.json 'rows[0]["updates"] == [1, 1, 1]'
refuse "no boundary detectors" draw lstm --out x.svg --reconstruct $line
refuse "no boundary detectors" align lstm
"$bin" train $small --out regularised --recurrent-dropout 0.2 --locked-dropout 0.25 --weight-drop 0.3 --steps 2 > /dev/null
"$bin" eval regularised > /dev/null
"$bin" train $small --out bernoulli --boundary bernoulli --dropout 0.2 --steps 2 > /dev/null
"$bin" eval bernoulli --json --seed 5 > b1.json
"$bin" eval bernoulli --json --seed 5 > b2.json
"$bin" eval bernoulli --json --seed 6 > b3.json
cmp -s b1.json b2.json || fail "the same seed draws different boundaries"
cmp -s b1.json b3.json && fail "different seeds draw the same boundaries"
"$bin" train $small --out absolute --coordinates absolute --steps 2 > /dev/null
"$bin" eval absolute --json > absolute.json
json absolute.json 'rows[0]["normalisation"]["coordinates"] == "absolute" and rows[0]["normalisation"]["deviation"][0] > 200'
"$bin" draw absolute --out absolute.svg --count 1 --points 20

# ---------------------------------------------------------------- recipes
recipe="--schedule cosine --warmup 3 --final-lr 1e-5 --beta2 0.99 --weight-decay 1e-5 --ema 0.9 --init orthogonal --detector-norm-cap 1.9 --scale-jitter 0.1"
"$bin" train $small --data-dir ink $recipe --target-rate 0.4 --out recipe --steps 12 --eval-every 6 --log-every 3 > recipe.txt || fail "a whole recipe: $(cat recipe.txt)"
grep -q 'averaged weights: validation' recipe.txt || fail "averaged weights are not shown: $(cat recipe.txt)"
json recipe/metrics.jsonl 'all(("ema" in r) == (r["event"] == "eval") for r in rows)'
json recipe/metrics.jsonl '[r["lr"] for r in rows if r["event"] == "train"][-1] < 2e-4'
"$bin" eval recipe/best_ema --split valid --json > ema.json
python3 - << 'EOF' || fail "best_ema is not what the records say: $(cat ema.json)"
import json
found = json.loads(open("ema.json").readline())
best = min(r["ema"]["loss"] for r in map(json.loads, open("recipe/metrics.jsonl")) if "ema" in r)
assert abs(found["nll_per_point"] - best) < 1e-4, (found, best)
EOF
for cost in 0 0.5; do
  "$bin" train $small --data-dir ink --out cost$cost --steps 3 --update-cost $cost > /dev/null || fail "--update-cost $cost"
done
! cmp -s cost0/last/model.safetensors cost0.5/last/model.safetensors || fail "--update-cost changes nothing"
refuse "exclude" train $small --data-dir ink --out new --update-cost 0.5 --target-rate 0.4

# ---------------------------------------------------------------- initial weights
# The second run trains on other lines, with the normalisation of the first.
"$bin" train --init-from run --synthetic-lines 9 --batch 3 --window 40 --lr 0.001 --steps 4 --eval-every 2 --device cpu --out continued \
  > continued.txt || fail "--init-from: $(cat continued.txt)"
grep -q '^begins with the weights and the normalisation of a model trained on synthetic (30 steps)$' continued.txt ||
  fail "the source is not named: $(head -2 continued.txt)"
"$bin" eval continued --json > continued.json
"$bin" eval run --json > source.json
json continued.json 'rows[0]["normalisation"] == json.loads(open("source.json").readline())["normalisation"]'
"$bin" train --out continued --resume --steps 6 > /dev/null || fail "a resume after --init-from"
"$bin" eval continued --json > continued.json
json continued.json 'rows[0]["normalisation"] == json.loads(open("source.json").readline())["normalisation"]'
refuse "contradicts --init-from" train --synthetic-lines 9 --init-from run --units 13 --out new
refuse "contradicts --init-from" train --synthetic-lines 9 --init-from absolute --coordinates offsets --out new
refuse "does not exist" train --synthetic-lines 9 --init-from nothing --out new

# ---------------------------------------------------------------- layer norm of whole lines
# At its usual gain gradients overflow on the way back over a line; the defaults of --layer-norm on keep them small.
normed="--synthetic-lines 60 --units 128 --output-embedding 128 --batch 16 --steps 3 --log-every 1 --device cpu --threads 1"
"$bin" train $normed --layer-norm on --out normed > normed.txt || fail "--layer-norm on: $(cat normed.txt)"
"$bin" train $normed --layer-norm on --norm-gain 1 --forget-bias 0 --out exploding > exploding.txt || fail "gain 1: $(cat exploding.txt)"
norms() { sed -n 's/.*"event":"train".*"grad_norm":\([^,]*\),.*/\1/p' "$1/metrics.jsonl"; }
[ "$(norms normed | awk '$1 > 0 && $1 < 100' | wc -l)" = 3 ] || fail "--layer-norm on: gradient norms $(norms normed)"
norms exploding | awk '!($1 > 0 && $1 < 1e4)' | grep -q . || fail "whole lines no longer explode with a gain of 1: $(norms exploding)"

# ---------------------------------------------------------------- help
"$bin" --help > /dev/null || fail "--help"
for command in train eval draw align report synthesize export; do
  "$bin" $command --help > help.txt 2> help.err || fail "$command --help"
  [ -s help.txt ] && [ ! -s help.err ] || fail "$command --help prints to the wrong place"
done
"$bin" train --help > help_of_train.txt
for option in init-from scale-jitter schedule ema target-rate detector-norm-cap corpus data-dir split split-seed coordinates min-points on-bad-file synthetic-lines mixtures out preset units \
  layers output-embedding batch window lr clip skip-norm boundary slope-rate slope-max forget-bias boundary-bias dropout recurrent-dropout locked-dropout weight-drop layer-norm \
  core steps epochs minutes eval-every checkpoint-every log-every patience max-skipped recover seed threads device cuda-graph cuda-persistent dtype resume; do
  grep -qE -- "--$option([^a-z0-9-]|$)" help_of_train.txt || fail "train --help does not name --$option"
done

# ---------------------------------------------------------------- errors
refuse "no command"
refuse "fly" fly
refuse "units-of" train $small --out new --units-of 3
refuse "one argument too many" train $small --out new extra
refuse "out" train $small
for bad in "--corpus mnist" "--split dev" "--split-seed -1" "--coordinates polar" "--min-points 1" "--on-bad-file ignore" \
  "--synthetic-lines 2" "--mixtures 0" "--mixtures 2000" "--units 0" "--batch 0" "--window -1" "--lr 0" "--lr nan" \
  "--clip -1" "--skip-norm x" "--boundary hard" "--slope-max 0.5" "--dropout 1" "--recurrent-dropout -1" "--locked-dropout 1" "--weight-drop -1" "--core gru" "--steps -1" "--minutes -3" "--seed -1" \
  "--threads -1" "--device tpu" "--dtype float16" "--preset ptb" "--scale-jitter 1" "--target-rate 2"; do
  set -- $bad
  refuse "${1#--}" train $small --out new $bad
done
refuse "nowhere" train --data-dir nowhere --out new
refuse "the corpus is synthetic" train --corpus synthetic --data-dir ink --out new
refuse "graves" train $small --split graves --out new
refuse "trainset.txt" train --data-dir ink --split graves --out new
mkdir none
refuse "none" train --data-dir none --out new
refuse "has 100000 points" train $small --min-points 100000 --out new
head -c 5000 lineStrokes-all.tar.xz > cut.tar.xz
refuse "cut.tar.xz" train --data-dir cut.tar.xz --out new
refuse "already holds a run" train $small --out run --steps 5
refuse "no run to resume" train --out nothing --resume
refuse "contradicts" train --out run --resume --units 128
refuse "contradicts" train --out run --resume --mixtures 4 --steps 40
refuse "contradicts" train --out run --resume --split-seed 2
[ ! -e new ] && [ ! -e nothing ] || fail "a refused run was begun"
cp -r ink broken
sed -i 's/ x="[0-9]*"/ x="nan"/' broken/lineStrokes/s00/s00-000/s00-000-02.xml
refuse "s00-000-02.xml: point 1 of stroke 1" train --data-dir broken --out new
"$bin" train $small --data-dir broken --on-bad-file skip --out skipped --steps 1 > skipped.txt || fail "--on-bad-file skip"
grep -q '^left out: .*s00-000-02.xml: point 1 of stroke 1' skipped.txt || fail "the file left out is not named: $(cat skipped.txt)"
grep -q '60 files, .* 1 bad' skipped.txt || fail "the file left out is not counted: $(cat skipped.txt)"
cp -r files moved
# Two points of a line exchange their x. In a line of the validation the normalisation stays, and only the hash sees it.
for line in ink/lineStrokes/*/*/*.xml; do
  cp "$line" line.xml
  python3 - "$line" << 'EOF'
import re, sys
text = open(sys.argv[1]).read()
points = re.findall(r"<Point [^>]*>", text)
x_of = lambda point: re.search(r' x="[^"]*"', point).group()
first, second = next(pair for pair in zip(points, points[1:]) if x_of(pair[0]) != x_of(pair[1]))
x = x_of(first), x_of(second)
text = text.replace(first, first.replace(x[0], x[1]), 1).replace(second, second.replace(x[1], x[0]), 1)
open(sys.argv[1], "w").write(text)
EOF
  "$bin" train --out moved --resume --steps 40 > /dev/null 2> moved.txt && fail "$line: a resume on other points"
  cp line.xml "$line"
  if grep -q 'is not the data .*: its contents differ' moved.txt; then break; fi
done
grep -q 'is not the data .*: its contents differ' moved.txt || fail "other points with the same normalisation: $(cat moved.txt)"
rm -r ink/lineStrokes/s00/s00-001
"$bin" eval files > /dev/null # writes the remaining lines to the cache
refuse "is not the data" train --out moved --resume --steps 40

refuse "RUN" eval
refuse "does not exist" eval nothing
refuse "no model" eval none
refuse "unknown split" eval run --split dev
refuse "corpus" eval run --corpus mnist
refuse "seed" eval run --seed x
refuse "must end in .safetensors" eval run --export mixture.txt
refuse "must end in .svg" draw run --out ink.xml
refuse "out is missing" draw run
refuse "count" draw run --out x.svg --count 0
refuse "bias" draw run --out x.svg --bias -1
refuse "points" draw run --out x.svg --points 0
refuse "scale" draw run --out x.svg --scale 0
refuse "gone.xml" draw run --out x.svg --style gone.xml
refuse "s00-000-02.xml" draw run --out x.svg --reconstruct broken/lineStrokes/s00/s00-000/s00-000-02.xml
refuse "bias" draw run --out x.svg --reconstruct $line --bias 1
refuse "tolerance" align run --tolerance -1
refuse "draws" align run --draws 0
refuse "out is missing" synthesize
refuse "lines" synthesize --out x --lines 0
refuse "is not a folder" synthesize --out eval.json

# Damaged checkpoints, and those of another model.
for bytes in 0 4 100 1000 $(($(stat -c %s run/best/model.safetensors) - 1)); do
  head -c "$bytes" run/best/model.safetensors > cut.safetensors
  refuse "cut.safetensors" eval cut.safetensors
  refuse "cut.safetensors" draw cut.safetensors --out x.svg
done
"${bin%handwriting}char_lm" train --corpus synthetic --synthetic-length 6000 --units 4 --layers 2 --embedding 3 --batch 2 \
  --window 10 --output-embedding 4 --steps 1 --device cpu --out text > /dev/null
refuse "not a handwriting model" eval text
refuse "is a run of char_lm" train --out text --resume --steps 9

finish
