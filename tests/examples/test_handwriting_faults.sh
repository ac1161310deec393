#!/usr/bin/env bash
# Tests handwriting with damaged and malicious files, lost output and closed descriptors.
set -euo pipefail

# shellcheck source=tests/support/program.sh
. tests/support/program.sh handwriting

"$bin" synthesize --out ink --lines 60
"$bin" train $small --data-dir ink --out run --steps 4 > train.txt
model=run/best/model.safetensors
line=ink/lineStrokes/s00/s00-000/s00-000-01.xml

# ---------------------------------------------------------------- checksums and metadata
"$bin" eval run --json --verbose > eval.json 2> verbose.txt
grep -q 'best/model.safetensors, step 4, checksums verified' verbose.txt || fail "--verbose says: $(cat verbose.txt)"
cp $model old.safetensors
edit old.safetensors ''
"$bin" eval old.safetensors --json > old.json || fail "a model without checksums"
cmp eval.json old.json || fail "a model without checksums scores differently"
for change in 'meta["slope"] = 2.0' 'meta["normalisation"]["mean"][0] += 1' 'data[17] ^= 1'; do
  cp $model changed.safetensors
  edit changed.safetensors "$change" keep
  refuse "checksum" eval changed.safetensors
done
cp $model changed.safetensors
edit changed.safetensors 'meta["zoneout"] = 0.1'
refuse "zoneout" eval changed.safetensors
cp -r run older
cp run/best/model.safetensors endless.safetensors
edit endless.safetensors 'meta["corpus"].update(name="synthetic", lines=10**15, seed=1, data_dir="")'
refuse "synthetic ink must have 1 to 1000000 lines, not 1000000000000000" eval endless.safetensors
edit older/last/state.safetensors 'del meta["run"]["options"]["min-points"]'
"$bin" train --out older --resume --steps 5 > older.txt || fail "a run from before an option"
grep -q "does not name --min-points: .* now '300'" older.txt || fail "nothing is said of the missing option: $(cat older.txt)"
cp -r run newer
edit newer/last/state.safetensors 'meta["run"]["options"]["zoneout"] = "0.1"'
refuse "--zoneout, which this version does not know" train --out newer --resume --steps 5

# ---------------------------------------------------------------- updates that are not finite
"$bin" train $small --data-dir ink --out cured --steps 8 --checkpoint-every 5 --log-every 1 --recover on --max-skipped 3 > /dev/null
edit cured/last/state.safetensors "begin, end = header['model.mixture.linear.weight']['data_offsets']
data[begin:end] = b''.join(struct.pack('<f', 3e38 if i * 7 // 5 % 3 else -3e38) for i in range((end - begin) // 4))"
"$bin" train --out cured --resume --steps 14 > cured.txt || fail "--recover: exit code $?: $(cat cured.txt)"
grep -q '^step 11: 3 updates in a row were skipped.*; back to step 5, learning rate 0.0015$' cured.txt || fail "--recover says: $(cat cured.txt)"
json cured/metrics.jsonl '[(r["step"], r["lr"]) for r in rows if r["event"] == "train"] == [(s, 0.003 if s <= 5 else 0.0015) for s in range(1, 15)]'

# ---------------------------------------------------------------- export
"$bin" export run --dtype bfloat16 --out small.safetensors > export.txt
grep -q '^small.safetensors: .* weights, bfloat16' export.txt || fail "export says: $(cat export.txt)"
python3 - << 'EOF' || fail "the exported model is not what it should be"
import json, struct
data = open("small.safetensors", "rb").read()
header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
meta = json.loads(header.pop("__metadata__")["hmrnn"])
assert meta["kind"] == "handwriting" and meta["corpus"]["data_dir"] == "" and meta["normalisation"]["deviation"][0] > 5
assert all(entry["dtype"] == "BF16" for entry in header.values())
EOF
"$bin" eval small.safetensors --data-dir ink --json > small.json
python3 -c 'import json; a, b = (json.load(open(n))["nll_per_point"] for n in ("eval.json", "small.json")); assert 0 < abs(a - b) < 0.05, (a, b)' ||
  fail "the model in bfloat16 scores: $(cat small.json)"
check "a model in bfloat16 draws" "$bin" draw small.safetensors --out small.svg --count 1 --points 5
refuse "there is such a file" export run --out small.safetensors

# ---------------------------------------------------------------- finite but useless weights
cp $model huge.safetensors
edit huge.safetensors 'data[:] = struct.pack("<f", 3e38) * (len(data) // 4)'
refuse "not finite" eval huge.safetensors
refuse "not finite" eval huge.safetensors --export new.safetensors
refuse "not finite" align huge.safetensors
refuse "not finite" report huge.safetensors --out new.html
refuse "not finite" draw huge.safetensors --out new.svg
refuse "not finite" draw huge.safetensors --out new.svg --reconstruct $line

# ---------------------------------------------------------------- standard streams
# lost WORDS COMMAND: bash runs the command, which must exit with 2 and print WORDS on stderr ('-': not checked).
lost() {
  local words=$1 code=0
  shift
  bash -c "$*" > /dev/null 2> .err < /dev/null || code=$?
  [ "$code" = 2 ] || fail "$*: exit code $code, not 2: $(head -3 .err)"
  [ "$words" = - ] || grep -q "$words" .err || fail "$*: stderr says: $(cat .err)"
}
for command in "--help" "train --help" "eval run" "eval run --json" "align run" "align run --json" "export run --out lost.safetensors"; do
  rm -f lost.safetensors
  lost "standard output" "'$bin' $command > /dev/full"
done
lost - "'$bin' eval nothing 2> /dev/full"
lost - "'$bin' eval nothing 2>&-"
lost "standard output" "'$bin' train $small --data-dir ink --out closed --steps 4 --log-every 1 <&- >&-"
json closed/metrics.jsonl '[r["step"] for r in rows if r["event"] == "train"] == [1, 2, 3, 4]'
cmp closed/last/model.safetensors run/last/model.safetensors || fail "a training without its output ends otherwise"

# ---------------------------------------------------------------- files that are not handwriting
mkfifo pipe
refuse "not a regular file" train $small --data-dir pipe --out new
refuse "not a regular file" eval run --data-dir /dev/zero
refuse "--scale 1e308: must be at most" draw run --out new.svg --scale 1e308
refuse "--pen 1e308: must be at most" draw run --out new.svg --pen 1e308
refuse "not a regular file" draw run --out new.svg --style pipe
refuse "not a regular file" draw run --out new.svg --reconstruct /dev/zero
cp -r ink lists
for list in trainset testset_v testset_t testset_f; do mkfifo lists/$list.txt; done
refuse "trainset.txt is not a regular file" train $small --data-dir lists --split graves --out new
rm -r pipe lists
python3 - << 'EOF'
import io, lzma, tarfile
def archive(name, members):
    with tarfile.open(name, "w:xz", preset=0) as tar:
        for member, size in members:
            info = tarfile.TarInfo(member)
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
archive("bomb.tar.xz", [("a.xml", 300 << 20), ("b.xml", 5)])
whole = io.BytesIO()
with tarfile.open(fileobj=whole, mode="w") as tar:
    tar.add("ink/lineStrokes", "lineStrokes")
# cut after the 31st file: what is left is complete but for the end mark
with tarfile.open(fileobj=io.BytesIO(whole.getvalue())) as tar:
    middle = [m for m in tar.getmembers() if m.isfile()][30]
end = middle.offset_data + (middle.size + 511) // 512 * 512
open("cut.tar", "wb").write(whole.getvalue()[:end])
EOF
refuse "cut.tar: it is cut off" train $small --data-dir cut.tar --out new
refuse "a.xml has more than 64 MiB" train $small --data-dir bomb.tar.xz --out new
refuse "bomb.tar.xz decompresses to more than 256 MiB and 200 times" train $small --data-dir bomb.tar.xz --on-bad-file skip --out new
rm bomb.tar.xz cut.tar
# Bad files are skipped and named; a load from the cache names them by their present paths.
cp -r ink bad
sed -i '0,/<Point x="[-0-9.]*"/s//<Point x="20000"/' bad/lineStrokes/s00/s00-000/s00-000-02.xml
truncate -s 65M bad/lineStrokes/s00/s00-000/s00-000-03.xml
mv bad/lineStrokes/s00/s00-000/s00-000-03.xml bad/lineStrokes/s00/s00-000/s00-000-03$'\x1b'.xml
refuse "s00-000-02.xml: point 1 of stroke 1: (20000, .* far from the line" train $small --data-dir bad --out new
cp -r bad worse
"$bin" train $small --data-dir bad --on-bad-file skip --out skipped --steps 1 > skipped.txt || fail "--on-bad-file skip"
"$bin" train $small --data-dir worse --on-bad-file skip --out skipped_too --steps 1 > cached.txt || fail "--on-bad-file skip, cached"
grep -q '60 files, .* 2 bad' skipped.txt || fail "the files left out are not counted: $(cat skipped.txt)"
grep -q 'cache: read from' cached.txt || fail "the second start does not read the cache: $(cat cached.txt)"
[ "$(grep -cF '/worse/lineStrokes/s00/s00-000/s00-000-03\x1b.xml' cached.txt)" = 1 ] || fail "a control character: $(cat -v cached.txt)"
[ "$(grep -c '^left out: .*/worse/.*s00-000-0[23].*.xml' cached.txt)" = 2 ] || fail "the cache names: $(grep 'left out' cached.txt)"

# ---------------------------------------------------------------- outputs
refuse "there is such a file" eval run --export run/last/state.safetensors
line=$(find ink -name '*.xml' | head -n 1)
cp "$line" line.svg
refuse "line.svg: this file is read, and would be overwritten" draw run --reconstruct line.svg --out line.svg
refuse "there is no folder nowhere" draw run --out nowhere/lines.svg
rm line.svg

# ---------------------------------------------------------------- files beyond a limit
refuse_under "-f 4" "new.safetensors: cannot write: File too large" export run --out new.safetensors
refuse_under "-f 4" "new.safetensors: cannot write: File too large" eval run --export new.safetensors

# ---------------------------------------------------------------- options
for empty in "train $small --data-dir" "train $small --out" "eval run --export" "draw run --out" "draw run --style" "eval"; do
  refuse "is empty" $empty ""
done
refuse "threads" train $small --out new --threads 4096
refuse "threads" eval run --threads 4096
refuse "--data-dir: .* is not UTF-8, in which a run stores its options" train $small --data-dir $'ink\xff' --out new
refuse "data-dir is for" train $small --corpus synthetic --data-dir ink --out new
refuse "data-dir is for" eval run --corpus synthetic --data-dir ink
refuse "not enough memory: units 60000,60000,60000, batch 4, window 60 need at least .* GB" train $small --data-dir ink --units 60000 --layers 3 --out new
refuse_under "-v 9000000" "not enough memory: .* need at least 1[0-9].* GB" train $small --data-dir ink --units 5000 --layers 3 --out new
for bad in "--clip 1e-300" "--lr 1e308" "--lr 1e-300" "--slope-rate 1e300" "--slope-max 1e300" \
  "--final-lr 1e300" "--weight-decay 1e300" "--plateau-factor 1e300" "--detector-norm-cap 1e-300" "--boundary-bias 1e39" "--forget-bias 1e39" \
  "--norm-gain 1e39" "--update-cost 1e300"; do
  set -- $bad
  refuse "${1#--} $2" train $small --out new $bad
done
[ ! -e new ] && [ ! -e new.svg ] && [ ! -e new.safetensors ] || fail "a refused command has left something"

finish
