#!/usr/bin/env bash
# Tests how char_lm shows results: align, segment's probabilities, columns, drawings and pages, sample's marks, unknown
# bytes.
set -euo pipefail
# shellcheck source=tests/support/program.sh
. tests/support/program.sh char_lm

small="--corpus synthetic --synthetic-length 6000 --units 12,8,6 --embedding 6 --output-embedding 10 --batch 4 --window 20 --threads 1 --device cpu --seed 3"
"$bin" train $small --out run --steps 30 > /dev/null
"$bin" train $small --out clock --steps 2 --boundaries clock:3,9 > /dev/null

# ---------------------------------------------------------------- align
"$bin" align run --json > align.json
json align.json 'list(rows[0]) == ["split", "characters", "tolerance", "shift", "layers"] and rows[0]["characters"] == 299'
json align.json 'all(list(l) == ["layer", "syllables", "words", "phrases"] for l in rows[0]["layers"]) and len(rows[0]["layers"]) == 2'
"$bin" align run --text known.txt --json > /dev/null 2>&1 && fail "a text that is not there"
# A clock of period three over 30 symbols plus the last one, at which evaluation ends: boundaries at 2, 5, 8, …; the
# events are at the same positions, or one before.
text=monselmonselmonselmonselmonselm
printf %s "$text" > known.txt
printf %s "$text" | sed 's/.../&|/g' > gold.txt
"$bin" align clock --text known.txt --against gold.txt --json > gold.json
json gold.json 'rows[0]["layers"][0]["gold"]["f1"] == 1 and rows[0]["layers"][0]["gold"]["boundaries"] == 10'
json gold.json 'rows[0]["layers"][0]["gold"]["clock"]["f1"] == 1 and rows[0]["layers"][0]["gold"]["chance"]["f1"] < 0.7'
json gold.json 'rows[0]["layers"][1]["gold"]["recall"] == 3 / 10 and rows[0]["layers"][1]["gold"]["precision"] == 1'
echo '[1, 4, 7]' > before.json
"$bin" align clock --text known.txt --against before.json --json > shifted.json
json shifted.json 'rows[0]["layers"][0]["gold"]["f1"] == 0'
"$bin" align clock --text known.txt --against before.json --shift 1 --json > shifted.json
json shifted.json 'rows[0]["layers"][0]["gold"]["recall"] == 1 and rows[0]["shift"] == 1'
"$bin" align clock --text known.txt --against before.json --tolerance 1 --json > shifted.json
json shifted.json 'rows[0]["layers"][0]["gold"]["recall"] == 1'
# Hand-made events: spaces and the last letters of words.
printf 'mon sel\nten mon' > words.txt
"$bin" align run --text words.txt --json > words.json
json words.json 'rows[0]["layers"][0]["spaces"]["events"] == 3 and rows[0]["layers"][0]["words"]["events"] == 3'
"$bin" align run --text words.txt --against spaces > words.out
grep -q '^z2 *spaces' words.out && ! grep -q '^z2 *words' words.out || fail "align's table: $(cat words.out)"
"$bin" train $small --out lstm --core lstm --steps 1 > /dev/null
refuse "no boundary detectors" align lstm
refuse "another text" align run --text words.txt --against gold.txt
refuse "no boundary" align run --text words.txt --against words.txt
echo '[99]' > far.json
refuse "far.json" align run --text words.txt --against far.json
refuse "tolerance" align run --tolerance -1
refuse "shift" align run --shift x
refuse "names the whole text" align run --text words.txt --split test

# ---------------------------------------------------------------- eval
"$bin" eval run --characters 100 --json > eval.json
json eval.json 'rows[0]["characters"] == 99'
# Products of a dense model and an LSTM of these sizes, by hand: rows of U, W, V; W x is a table of V rows every 200
# steps.
python3 - << 'PYTHON' || fail "the costs: $(cat eval.json)"
import json
cost, made = (lambda r: (r["cost"], r))(json.loads(open("eval.json").read()))
d, inputs, out = [12, 8, 6], 6, 10
import struct
data = open("run/best/model.safetensors", "rb").read()
V = len(json.loads(json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]["hmrnn"])["vocabulary"])
n = 99
core = sum(n * 8 * x * x for x in d) + V * 8 * d[0] * inputs + n * 8 * (d[1] * d[0] + d[2] * d[1])
rest = n * (2 * out * sum(d) + 2 * 3 * sum(d) + 2 * V * out)
assert abs(cost["lstm_flops"] - (core + rest) / n) < 1e-6
assert abs(cost["dense_flops"] - (core + rest + n * 8 * (d[0] * d[1] + d[1] * d[2])) / n) < 1e-6
for share, rows in zip(made["updates"], cost["rows"]["recurrent"]):
    assert abs(share - rows) < 1e-12
assert cost["flops"] < cost["dense_flops"]
PYTHON
"$bin" eval run --characters 100 > eval.txt
grep -q '^MFLOP a character: ' eval.txt || fail "eval does not tell costs: $(cat eval.txt)"

# ---------------------------------------------------------------- unknown bytes
printf 'monsel QED ten' > unknown.txt
refuse "0x51" eval run --text unknown.txt
"$bin" eval run --text unknown.txt --unknown skip --json > skip.json
json skip.json 'rows[0]["characters"] == 10'
"$bin" eval run --text unknown.txt --unknown e --json > replaced.json
json replaced.json 'rows[0]["characters"] == 13'
"$bin" segment run --json --unknown skip unknown.txt > skipped.json
json skipped.json 'rows[0]["text"] == "monsel  ten" and len(rows[0]["z"][0]) == 11'
"$bin" segment run --json --unknown e unknown.txt > replaced.json
json replaced.json 'rows[0]["text"] == "monsel eee ten"'
[ "$("$bin" sample run --prime 'monQ' --unknown skip --length 0)" = mon ] || fail "sample --unknown"
refuse "no such symbol" eval run --unknown Q
refuse "unknown" eval run --unknown two

# ---------------------------------------------------------------- segment
printf 'monsel ten\nmon\n' > text.txt
"$bin" segment run --json --probability < text.txt > probability.json
json probability.json 'all(len(r["probability"]) == 2 and all(len(p) == len(r["text"]) for p in r["probability"]) for r in rows)'
json probability.json 'all((p > 0.5) == (z == 1) for r in rows for ps, zs in zip(r["probability"], r["z"]) for p, z in zip(ps, zs))'
json probability.json 'len({p for r in rows for ps in r["probability"] for p in ps}) > 5'
"$bin" segment run --probability < text.txt > probability.txt
[ "$(sed -n '2p;3p;4p;5p' probability.txt | cut -c1-2 | tr '\n' ' ')" = 'z1 p1 z2 p2 ' ] || fail "segment --probability: $(cat probability.txt)"
sed -n 3p probability.txt | grep -q '^p1  [0-9]\{10\}$' || fail "digits: $(sed -n 3p probability.txt)"
# Soft boundaries equal the probabilities.
"$bin" train $small --out soft --boundary soft --steps 3 > /dev/null
"$bin" segment soft --json --probability < text.txt > soft.json
json soft.json 'all(abs(p - z) < 1e-5 for r in rows for ps, zs in zip(r["probability"], r["z"]) for p, z in zip(ps, zs))'
# Several files: each starts from a zero state and is named.
"$bin" segment run text.txt text.txt --json > twice.json
json twice.json 'len(rows) == 4 and rows[0] == rows[2] and rows[1] == rows[3] and rows[0]["file"] == "text.txt"'
"$bin" segment run text.txt text.txt > twice.txt
[ "$(grep -c '^==> text.txt <==$' twice.txt)" = 2 ] || fail "files are not named: $(cat twice.txt)"
refuse "nothing.txt" segment run nothing.txt
"$bin" segment clock --width 10 --colour off text.txt > folded.txt
[ "$(sed -n 1p folded.txt)" = '    monsel' ] && [ "$(sed -n 2p folded.txt)" = 'z1  ..|..|' ] && [ "$(sed -n 4p folded.txt)" = '     ten' ] || fail "--width: $(cat folded.txt)"
"$bin" segment clock --colour blocks text.txt > blocks.txt
python3 - << 'PYTHON' || fail "--colour blocks: $(cat -v blocks.txt)"
import re
row = open("blocks.txt", encoding="utf-8").read().split("\n")[1]
parts = re.split(r"\x1b\[([0-9;]*)m", row)
assert parts[0] == "z1  " and "".join(parts[2::2]) == "monsel ten"
assert [p for p in parts[2::2] if p] == ["mon", "sel", " te", "n"], parts
assert parts[1] != parts[3] and parts[1] == parts[5]
PYTHON

# Wide characters, accents, controls, invalid UTF-8: a model of bytes reads them, and marks are below the characters.
python3 -c "
import sys
text = 'a\u65e5e\u0301b\U0001f468\u200d\U0001f469c<&>\"'.encode() + b'\x1b\x01\x7f\xff'
open('odd.txt', 'wb').write(text * 40)
open('one.txt', 'wb').write(text)"
"$bin" train --corpus odd.txt --units 6 --layers 2 --embedding 4 --output-embedding 6 --batch 2 --window 10 --threads 1 --device cpu --steps 3 --log-every 1 \
  --boundaries clock:1 --out bytes > bytes.txt
grep -q ' bpb .* bytes/s' bytes.txt || fail "bits are not called per byte: $(cat bytes.txt)"
json bytes/metrics.jsonl 'all("bpb" in r and "bpc" not in r for r in rows)'
"$bin" eval bytes --json > bytes.json
json bytes.json 'list(rows[0])[:4] == ["split", "bpb", "bits", "bytes"]'
"$bin" eval bytes | grep -q 'bits per byte over' || fail "eval of bytes"
"$bin" segment bytes one.txt > columns.txt
python3 - << 'PYTHON' || fail "columns: $(cat -v columns.txt)"
text, marks = open("columns.txt", encoding="utf-8").read().split("\n")[:2]
assert text == "    a\u65e5e\u0301b\U0001f468\u200d\U0001f469c<&>\"   \ufffd", ascii(text)
# Every byte is a boundary: one mark per character, and one column more after each of the two wide ones.
if marks == "z1  " + "|" * 17:
    print("skipped: columns of wide characters: built without utf8proc")
else:
    assert marks == "z1  || ||| |" + "|" * 8, ascii(marks)
PYTHON
"$bin" segment bytes one.txt --svg odd.svg
"$bin" segment bytes one.txt --html odd.html
python3 - << 'PYTHON' || fail "drawings of odd characters"
import json, re
from xml.etree import ElementTree
root = ElementTree.parse("odd.svg").getroot()
texts = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
assert {"<", "&", "\u241b", "\u2401", "\u2421", "\ufffd"} <= set(texts), texts
page = open("odd.html", encoding="utf-8").read()
data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S).group(1))
assert {"<", "&", "\u241b", "\u2401", "\u2421", "\ufffd"} <= set(data["cells"]), data["cells"]
assert page.count("<script") == 2 and page.count("</script>") == 2
PYTHON

# The blocks of the drawing are the segments: they end where the clock fires; the caption counts updates.
printf 'monselmon\n' | "$bin" segment clock --svg clock.svg --caption 'a & b'
python3 - << 'PYTHON' || fail "the drawing"
import re
from xml.etree import ElementTree
root = ElementTree.parse("clock.svg").getroot()
name = "{http://www.w3.org/2000/svg}"
texts = [t.text for t in root.iter(name + "text")]
assert texts == list("monselmon") + ["layer 1", "layer 2", "a & b"], texts
letters = [float(t.get("x")) for t in root.iter(name + "text") if t.get("class") == "c"]
cell, left = letters[1] - letters[0], letters[0] - (letters[1] - letters[0]) / 2
blocks = [p for p in root.iter(name + "path")]
starts = [round((int(re.match(r"M(\d+),", p.get("d")).group(1)) - left) // cell) for p in blocks]
assert starts == [0, 3, 6, 0], starts
assert blocks[0].get("fill") == blocks[2].get("fill") != blocks[1].get("fill")  # neighbours differ
PYTHON
printf 'monselmon\n' | "$bin" segment clock --svg caption.svg
grep -q 'updates of layers 1 to 3: 10, 4 and 1, 15 in all instead of 30' caption.svg || fail "the caption: $(grep updates caption.svg)"
# A caption may come from a file name, with any bytes but 0; the drawing is well-formed XML all the same.
printf 'monselmon\n' | "$bin" segment clock --svg hostile.svg --caption $'a\x1b\x7f\xff\xc2\x85 & \xc3\xa4'
python3 - << 'PYTHON' || fail "a caption with control characters: $(cat -v hostile.svg)"
from xml.etree import ElementTree
texts = [t.text for t in ElementTree.parse("hostile.svg").getroot().iter("{http://www.w3.org/2000/svg}text")]
assert texts[-1] == "a\ufffd\ufffd\ufffd\ufffd & \u00e4", ascii(texts[-1])
PYTHON
refuse "json" segment run text.txt --json --svg new.svg
refuse "--svg /dev/stdout: the name must end in .svg" segment run text.txt --svg /dev/stdout
refuse "--html page.svg: the name must end in .html" segment run text.txt --html page.svg

# ---------------------------------------------------------------- sample
"$bin" sample clock --prime mon --length 6 --marks --temperature 0 > marks.txt
[ "$(wc -l < marks.txt)" -ge 3 ] && sed -n 2p marks.txt | grep -q '^z1  \.\.|' || fail "sample --marks: $(cat marks.txt)"
printf 'mon' > prime.txt
cmp -s <("$bin" sample run --prime mon --length 30) <("$bin" sample run --prime-file prime.txt --length 30) || fail "--prime-file"
"$bin" sample run --prime mon --length 10 --count 3 > three.txt
[ "$(grep -c '^mon' three.txt)" -ge 3 ] || fail "--count: $(cat three.txt)"
"$bin" sample run --prime mon --length 10 > single.txt
head -c "$(stat -c %s single.txt)" three.txt | cmp -s - single.txt || fail "the first of three is not the one"
refuse "exclude" sample run --prime mon --prime-file prime.txt
refuse "count" sample run --count 0
refuse "nothing.txt" sample run --prime-file nothing.txt

finish
