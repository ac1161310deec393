#!/usr/bin/env bash
# Tests the program char_lm: every command on a small model, stop and resume, and every error of the user.
set -euo pipefail

# shellcheck source=tests/support/program.sh
. tests/support/program.sh char_lm

# ---------------------------------------------------------------- train
"$bin" train $small --out run --steps 30 --eval-every 12 --checkpoint-every 10 --log-every 5 > train.txt
for file in best/model last/model last/state; do [ -s "run/$file.safetensors" ] || fail "run/$file.safetensors is missing"; done
grep -q '^step 30 .* bpc .*characters/s' train.txt || fail "no plain progress lines: $(cat train.txt)"
grep -q $'\r' train.txt && fail "a file got a terminal's progress line"
json run/metrics.jsonl '[r["step"] for r in rows if r["event"] == "train"] == [5, 10, 15, 20, 25, 30]'
json run/metrics.jsonl '[r["step"] for r in rows if r["event"] == "eval"] == [12, 24, 30]'
json run/metrics.jsonl 'all(set(r) == {"event", "step", "epoch", "loss", "bpc", "grad_norm", "lr", "slope", "updates", "characters_per_second"} for r in rows)'
json run/metrics.jsonl 'all(abs(r["bpc"] - r["loss"] / math.log(2)) < 1e-9 for r in rows)'

# The checkpoint as other software reads it: names, shapes, and the required metadata.
python3 - << 'EOF' || fail "model.safetensors is not what the format promises"
import json, struct
data = open("run/best/model.safetensors", "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + size])
meta = json.loads(header.pop("__metadata__")["hmrnn"])
V = len(meta["vocabulary"])
assert meta["slope"] == 1 and sorted(meta["vocabulary"]) == sorted(set(meta["vocabulary"]))
expected = {"embedding.weight": [V, 6], "output.gates": [2, 20], "output.embedding.0": [10, 12],
            "output.embedding.1": [10, 8], "output.softmax.weight": [V, 10], "output.softmax.bias": [V]}
for l, (d, below, above) in enumerate([(12, 6, 8), (8, 12, None)]):
    R = 4 * d + (above is not None)
    name = f"hm_lstm.layers.{l}."
    expected |= {name + "recurrent": [R, d], name + "bottom_up": [R, below], name + "bias": [R]}
    norms = {"recurrent_norm": 4 * d, "bottom_up_norm": 4 * d, "cell_norm": d}
    if above is not None:
        expected[name + "top_down"] = [R, above]
        norms["top_down_norm"] = 4 * d
    for norm, n in norms.items():
        expected |= {name + norm + ".weight": [n], name + norm + ".bias": [n]}
found = {name: entry["shape"] for name, entry in header.items()}
assert found == expected, (found, expected)
assert all(entry["dtype"] == "F32" for entry in header.values())
EOF

# Other options override a preset in any order.
mkdir -p ptb
for split in train valid test; do
  for i in $(seq 60); do echo "t h e _ c a t _ s a t _ $((i % 7))"; done > ptb/ptb.char.$split.txt
done
for order in "--preset ptb --units 6 --layers 2" "--units 6 --layers 2 --preset ptb"; do
  rm -rf preset
  "$bin" train $order --data-dir ptb --out preset --batch 2 --window 10 --embedding 4 --steps 1 --device cpu > /dev/null
  python3 - << 'EOF' || fail "preset with overrides: $order"
import json, struct
data = open("preset/last/model.safetensors", "rb").read()
meta = json.loads(json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]["hmrnn"])
assert meta["hidden_sizes"] == [6, 6] and meta["output_embedding_size"] == 512 and 32 in meta["vocabulary"] and 95 not in meta["vocabulary"]
EOF
done
# ptb is the recipe of examples/recipes; ptb-paper follows the paper's text, whose only schedule is a drop of the rate.
for preset in ptb ptb-paper; do
  rm -rf preset
  "$bin" train --preset $preset --data-dir ptb --out preset --units 6 --batch 2 --window 10 --embedding 4 --steps 1 --device cpu > /dev/null
  python3 - $preset << 'EOF' || fail "options of --preset $preset"
import json, struct, sys
data = open("preset/last/state.safetensors", "rb").read()
options = json.loads(json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]["hmrnn"])["run"]["options"]
both = {"lr": "0.002", "slope-max": "5", "output-embedding": "512", "weight-decay": "0", "dropout": "0"}
recipe = {"norm-gain": "0.3", "locked-dropout": "0.3", "weight-drop": "0.2", "detector-norm-cap": "0.5", "slope-rate": "0", "clip": "0.25",
          "skip-norm": "10", "max-skipped": "200", "roll": "on", "ema": "0.9995", "schedule": "cosine", "warmup": "200", "epochs": "60"}
paper = {"norm-gain": "1", "locked-dropout": "0", "weight-drop": "0", "detector-norm-cap": "0", "slope-rate": "0.04", "clip": "1",
         "skip-norm": "0", "max-skipped": "20", "roll": "off", "ema": "0", "schedule": "plateau", "warmup": "0", "epochs": "0"}
want = both | (recipe if sys.argv[1] == "ptb" else paper)
found = {name: options[name] for name in want}
assert found == want, (found, want)
EOF
done

# ---------------------------------------------------------------- stop and resume
# signalled SIGNAL CODE OUT: a long run that gets SIGNAL during training must save and exit with CODE.
signalled() {
  begin "$3"
  kill -s "$1" $pid
  ends "$2" "$1"
  grep -q 'saved; go on with --resume' signal.txt || fail "$1: no word about the resume: $(tail -1 signal.txt)"
}
signalled TERM 143 terminated
signalled INT 130 stopped
stopped_at=$(sed -n 's/.*after step \([0-9]*\),.*/\1/p' signal.txt)
[ "${stopped_at:-0}" -ge 15 ] || fail "stopped at step '$stopped_at'"
steps=$((stopped_at + 17))
"$bin" train --out stopped --resume --steps $steps > /dev/null
"$bin" train $small --out whole --steps $steps --eval-every 40 --log-every 5 --checkpoint-every 100000 > /dev/null
cmp whole/last/model.safetensors stopped/last/model.safetensors || fail "resumed weights differ"
strip() { sed '/"event":"resume"/d; s/,"characters_per_second":[^}]*//' "$1"; }
json stopped/metrics.jsonl "[r['step'] for r in rows if r['event'] == 'resume'] == [$stopped_at]"
[ "$(strip whole/metrics.jsonl)" = "$(strip stopped/metrics.jsonl)" ] || fail "resumed records differ"
# A run that is older than --cuda-graph: its state does not contain the option.
python3 "$tests/support/edit_safetensors.py" whole/last/state.safetensors 'assert meta["run"]["options"].pop("cuda-graph") == "on"' ||
  fail "the options do not hold cuda-graph"
"$bin" train --out whole --resume --steps $((steps + 1)) > /dev/null || fail "a run without cuda-graph among its options"
"$bin" train --out stopped --resume --steps $((steps + 1)) --cuda-graph off > /dev/null || fail "--cuda-graph off"
cmp whole/last/model.safetensors stopped/last/model.safetensors || fail "--cuda-graph off changes something on the CPU"

# ---------------------------------------------------------------- recipes
recipe="--schedule cosine --warmup 3 --final-lr 1e-5 --beta2 0.99 --weight-decay 1e-5 --ema 0.9 --roll on --init orthogonal
  --norm-gain 0.3 --detector-norm-cap 1.9 --target-rate 0.4"
"$bin" train $small $recipe --out recipe --steps 30 --eval-every 12 --log-every 5 > recipe.txt || fail "a whole recipe"
[ -s recipe/best_ema/model.safetensors ] || fail "no averaged weights"
grep -q 'averaged weights: validation' recipe.txt || fail "averaged weights are not shown: $(cat recipe.txt)"
json recipe/metrics.jsonl 'all(("ema" in r) == (r["event"] == "eval") for r in rows)'
json recipe/metrics.jsonl '[r["lr"] for r in rows if r["event"] == "train"][-1] < 2e-5'
"$bin" eval recipe/best_ema --json > ema.json
python3 - << 'EOF' || fail "best_ema is not what the records say"
import json
best = min((json.loads(l) for l in open("recipe/metrics.jsonl") if "ema" in l), key=lambda r: r["ema"]["loss"])
data = open("recipe/best_ema/model.safetensors", "rb").read()
meta = json.loads(json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]["hmrnn"])
assert meta["step"] == best["step"] and meta["validation_loss"] == best["ema"]["loss"]
assert meta["norm_gain"] == 0.3 and meta["init"] == "orthogonal"
EOF
"$bin" train $small --out costly --steps 5 --update-cost 0.02 > /dev/null || fail "--update-cost"
refuse "detectors" train $small --out new --update-cost 0.1,0.2
refuse "exclude" train $small --out new --update-cost 0.1 --target-rate 0.2
refuse "cosine" train $small --out new --schedule cosine --minutes 1
# All commands use the model's given boundaries.
"$bin" train $small --out clock --steps 3 --boundaries clock:3 > /dev/null || fail "--boundaries clock:3"
"$bin" eval clock --json > clock.json
json clock.json 'abs(rows[0]["updates"][1] - 1 / 3) < 0.01'
printf 'monselten\nmon\n' | "$bin" segment clock --json > clock_segment.json
json clock_segment.json '[r["z"][0] for r in rows] == [[0, 0, 1, 0, 0, 1, 0, 0, 1], [0, 1, 0]]'
"$bin" train $small --out spaces --steps 3 --boundaries spaces > /dev/null || fail "--boundaries spaces"
printf 'monsel ten\n' | "$bin" segment spaces --json > spaces.json
json spaces.json 'rows[0]["z"][0] == [0] * 6 + [1] + [0] * 3'
check "sample from a model of given boundaries" "$bin" sample spaces --length 5
refuse "clock:0" train $small --out new --boundaries clock:0
refuse "no boundary detectors" train $small --out new --boundaries spaces --core lstm

# ---------------------------------------------------------------- initial weights, the user's own files
printf 'Monsel, ten. %.0s' $(seq 60) > own.txt
printf 'Ten, monsel. %.0s' $(seq 9) > held.txt
"$bin" train --corpus own.txt,held.txt --valid-file held.txt --test-file held.txt --init-from run --batch 4 --window 20 --lr 0.001 \
  --steps 6 --eval-every 3 --device cpu --out continued > continued.txt || fail "--init-from: $(cat continued.txt)"
grep -q 'new symbols: 4: 0x2c 0x2e 0x4d 0x54$' continued.txt || fail "new symbols are not named: $(head -1 continued.txt)"
"$bin" eval continued --json > continued.json
json continued.json 'rows[0]["characters"] == 116'
"$bin" train --out continued --resume --steps 8 > /dev/null || fail "a resume after --init-from"
"$bin" train $small --init-from run --out same --steps 1 > same.txt || fail "--init-from with the same sizes"
grep -q 'new symbols: 0$' same.txt || fail "symbols that are not new: $(head -1 same.txt)"
refuse "contradicts --init-from" train --corpus own.txt --init-from run --units 13 --out new
refuse "does not exist" train --corpus own.txt --init-from nothing --out new
refuse "valid-file" train $small --out new --valid-file own.txt
refuse "cannot open" train --corpus own.txt --valid-file nothing.txt --batch 2 --window 10 --out new

# ---------------------------------------------------------------- eval
"$bin" eval run --json > eval.json
json eval.json 'len(rows) == 1 and list(rows[0]) == ["split", "bpc", "bits", "characters", "updates", "cost"]'
json eval.json 'abs(rows[0]["bits"] - rows[0]["bpc"] * rows[0]["characters"]) < 1e-6'
json eval.json 'rows[0]["split"] == "test" and rows[0]["characters"] == 299 and 1 < rows[0]["bpc"] < 6'
json eval.json 'len(rows[0]["updates"]) == 2 and rows[0]["updates"][0] == 1 and 0 <= rows[0]["updates"][1] <= 1'
"$bin" eval run --json --streams 8 --split valid > streams.json
json streams.json 'rows[0]["characters"] == 299 and rows[0]["split"] == "valid"'
"$bin" eval run > eval.txt
grep -q "$(python3 -c 'import json; print("%.4f" % json.load(open("eval.json"))["bpc"])') bits per character over 299" eval.txt ||
  fail "eval's text and JSON differ: $(cat eval.txt)"
printf 'abba\nmonsel\n' > other.txt
"$bin" eval run --corpus other.txt --split all --json > other.json
json other.json 'rows[0]["characters"] == 11 and rows[0]["split"] == "all"'

# ---------------------------------------------------------------- sample
"$bin" sample run --prime 'mon' --length 40 --temperature 0.8 --seed 7 > a.txt
"$bin" sample run --prime 'mon' --length 40 --temperature 0.8 --seed 7 > b.txt
"$bin" sample run --prime 'mon' --length 40 --temperature 0.8 --seed 8 > c.txt
[ "$(wc -c < a.txt)" = 44 ] || fail "sample wrote $(wc -c < a.txt) bytes, not 3 + 40 + a line end"
[ "$(head -c 3 a.txt)" = mon ] || fail "sample does not begin with --prime"
cmp -s a.txt b.txt || fail "the same seed samples different texts"
cmp -s a.txt c.txt && fail "different seeds sample the same text"
check "sample at temperature 0" "$bin" sample run --length 5 --temperature 0

# ---------------------------------------------------------------- segment
printf 'monsel ten\n\nabba' > text.txt
"$bin" segment run --json < text.txt > segment.json
json segment.json '[r["text"] for r in rows] == ["monsel ten", "", "abba"]'
json segment.json 'all(set(r) == {"text", "z", "operations"} for r in rows)'
json segment.json 'all(len(r["z"]) == 1 and len(r["operations"]) == 2 for r in rows)'
json segment.json 'all(len(x) == len(r["text"]) for r in rows for x in r["z"] + r["operations"])'
json segment.json 'all(v in (0, 1) and type(v) is int for r in rows for x in r["z"] for v in x)'
json segment.json 'all(set(o) <= set("UCF") for r in rows for o in r["operations"])'
# layer 1 flushes after its own boundary, else updates; layer 2, the top, updates at the boundary below
json segment.json 'all(r["operations"][0][1:] == "".join("UF"[z] for z in r["z"][0][:-1]) for r in rows)'
json segment.json 'all(r["operations"][1] == "".join("CU"[z] for z in r["z"][0]) for r in rows)'
"$bin" segment run < text.txt > segment.txt
[ "$(sed -n 1p segment.txt)" = '    monsel ten' ] || fail "segment's text: $(head -2 segment.txt)"
sed -n 2p segment.txt | grep -q '^z1  [.|]\{10\}$' || fail "segment's marks: $(head -2 segment.txt)"
[ "$(wc -l < segment.txt)" = 6 ] || fail "segment's lines: $(cat segment.txt)"
# Earlier lines change the result, since the state is carried across lines.
"$bin" train $small --out soft --boundary soft --steps 3 > /dev/null
printf 'mon\nmon\n' | "$bin" segment soft --json > soft.json
json soft.json 'rows[0]["z"] != rows[1]["z"] and all(0 <= v <= 1 for r in rows for v in r["z"][0])'

# LSTM, Bernoulli boundaries
"$bin" train $small --out lstm --core lstm --steps 2 > /dev/null
"$bin" eval lstm --json > lstm.json
json lstm.json 'rows[0]["updates"] == [1, 1]'
printf 'mon\n' | "$bin" segment lstm --json > lstm_segment.json
json lstm_segment.json 'rows == [{"text": "mon", "z": [], "operations": ["UUU", "UUU"]}]'
"$bin" train $small --out bernoulli --boundary bernoulli --dropout 0.2 --steps 2 > /dev/null
for core in hm_lstm lstm; do
  regularised="--core $core --recurrent-dropout 0.2 --locked-dropout 0.25 --weight-drop 0.3 --embedding-dropout 0.1"
  "$bin" train $small $regularised --out regularised_$core --steps 4 > /dev/null
  "$bin" train $small $regularised --out parts_$core --steps 2 > /dev/null
  "$bin" train --out parts_$core --resume --steps 4 > /dev/null
  cmp regularised_$core/last/model.safetensors parts_$core/last/model.safetensors || fail "$core: a resume draws other masks"
  "$bin" eval regularised_$core --json > r1.json
  "$bin" eval regularised_$core --json > r2.json
  cmp -s r1.json r2.json || fail "$core: evaluation drops something"
done
refuse "contradicts" train --out parts_lstm --resume --weight-drop 0.1
"$bin" eval bernoulli --json --seed 5 > b1.json
"$bin" eval bernoulli --json --seed 5 > b2.json
"$bin" eval bernoulli --json --seed 6 > b3.json
cmp -s b1.json b2.json || fail "the same seed draws different boundaries"
cmp -s b1.json b3.json && fail "different seeds draw the same boundaries"

# ---------------------------------------------------------------- help
check "--help" "$bin" --help
for command in train eval sample segment align report export; do
  "$bin" $command --help > help.txt 2> help.err || fail "$command --help"
  [ -s help.txt ] && [ ! -s help.err ] || fail "$command --help prints to the wrong place"
done
"$bin" train --help > help_of_train.txt
for option in corpus data-dir out preset units layers embedding output-embedding batch window lr clip skip-norm boundary slope-rate \
  slope-max forget-bias boundary-bias dropout recurrent-dropout locked-dropout weight-drop embedding-dropout layer-norm core steps epochs minutes eval-every checkpoint-every log-every \
  patience schedule warmup final-lr plateau-factor plateau-drops beta2 weight-decay weight-decay-mode ema init norm-gain \
  update-cost target-rate detector-norm-cap boundaries roll init-from valid-file test-file eval-streams max-skipped recover seed threads device cuda-graph cuda-persistent dtype resume; do
  grep -qE -- "--$option([^a-z0-9-]|$)" help_of_train.txt || fail "train --help does not name --$option"
done

# ---------------------------------------------------------------- errors
refuse "no command"
refuse "fly" fly
refuse "units-of" train $small --out new --units-of 3
refuse "one argument too many" train $small --out new extra
refuse "out" train $small
refuse "corpus" train --out new
for bad in "--units 0" "--units 12,0" "--units many" "--units 1e3" "--units 8, --steps 1" "--units 99999999999999999999" \
  "--layers 0" "--layers 5" "--embedding 0" "--output-embedding -1" "--batch 0" "--window 0" "--lr 0" "--lr nan" "--lr inf" \
  "--lr -0.1" "--clip -1" "--skip-norm -1" "--boundary hard" "--slope-rate -1" "--slope-max 0.5" "--forget-bias x" "--boundary-bias inf" \
  "--dropout 1.5" "--dropout 1" "--dropout -0.1" "--recurrent-dropout 1" "--locked-dropout 1" "--weight-drop 1" "--weight-drop x" "--embedding-dropout 1" "--layer-norm maybe" "--core gru" "--steps -1" "--epochs 1.5" \
  "--minutes -3" "--eval-every -1" "--checkpoint-every 0" "--log-every 0" "--patience 0" "--eval-streams 0" "--seed -1" \
  "--seed 1.5" "--threads -1" "--device tpu" "--dtype float16" "--dtype tf32 --device cpu" "--cuda-graph maybe" "--cuda-persistent maybe" "--preset wsj" "--schedule step" \
  "--warmup -1" "--final-lr -1" "--plateau-factor 0.5" "--plateau-drops -1" "--beta2 1" "--weight-decay -1" "--weight-decay-mode l1" "--ema 1" \
  "--ema -0.1" "--init ones" "--norm-gain x" "--update-cost 1,x" "--target-rate 1.5" "--detector-norm-cap -1" "--roll maybe"; do
  set -- $bad
  # If an option is given twice, the last one counts.
  refuse "${1#--}" train $small --out new $bad
done
refuse "units" train --corpus synthetic --out new --units
refuse "no/such" train --corpus no/such/file --out new
refuse "nowhere" train --corpus ptb --data-dir nowhere --out new
mkdir none
refuse "none" train --corpus text8 --data-dir none --out new
: > empty.txt
refuse "empty" train --corpus empty.txt --out new
printf 'only a few characters' > short.txt
refuse "short.txt" train --corpus short.txt --out new --batch 4 --window 20
refuse "window" train $small --out new --window 3000
refuse "already holds a run" train $small --out run --steps 5
refuse "is a file" train $small --out other.txt
refuse "no run to resume" train --out nothing --resume
refuse "contradicts" train --out run --resume --units 128
refuse "contradicts" train --out run --resume --lr 0.5 --steps 40
refuse "contradicts" train --out run --resume --preset ptb
[ ! -e new ] && [ ! -e nothing ] || fail "a refused run was begun"

refuse "RUN" eval
refuse "does not exist" eval nothing
refuse "no model" eval none
refuse "unknown split" eval run --split dev
refuse "streams" eval run --streams 0
refuse "seed" sample run --seed x
refuse "temperature" sample run --temperature -1
refuse "length" sample run --length -1
refuse "prime" sample run --prime 'MON'
printf 'monsel\nmon QED\n' > uncovered.txt
refuse "0x51" eval run --corpus uncovered.txt --split all
printf 'monsel Q\n' > first.txt
stdin=first.txt refuse "line 1 .*0x51" segment run
"$bin" segment run --json < uncovered.txt > .out 2> .err && fail "segment takes a byte that the vocabulary lacks"
grep -q 'line 2 .*0x51' .err || fail "segment does not name line and byte: $(cat .err)"
printf 'x' > one.txt
refuse "one.txt" eval run --corpus one.txt --split all

# Damaged checkpoints.
for bytes in 0 4 100 1000 $(($(stat -c %s run/best/model.safetensors) - 1)); do
  head -c "$bytes" run/best/model.safetensors > cut.safetensors
  refuse "cut.safetensors" eval cut.safetensors
  refuse "cut.safetensors" sample cut.safetensors
done
python3 - << 'EOF'
import json, struct
data = open("run/best/model.safetensors", "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header, rest = json.loads(data[8:8 + size]), data[8 + size:]
del header["__metadata__"]["hmrnn.xxh3"]
def write(name, header):
    text = json.dumps(header).encode()
    open(name, "wb").write(struct.pack("<Q", len(text)) + text + rest)
shape = header["hm_lstm.layers.0.recurrent"]["shape"]
shape.reverse()
write("shape.safetensors", header)
shape.reverse()
meta = json.loads(header["__metadata__"]["hmrnn"])
meta["vocabulary"] = meta["vocabulary"][:-1]
header["__metadata__"]["hmrnn"] = json.dumps(meta)
write("vocabulary.safetensors", header)
EOF
refuse "hm_lstm.layers.0.recurrent" eval shape.safetensors
refuse "embedding.weight" eval vocabulary.safetensors
cp -r run damaged
head -c 2000 run/last/state.safetensors > damaged/last/state.safetensors
refuse "state.safetensors" train --out damaged --resume --steps 40

finish
