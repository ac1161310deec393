#!/usr/bin/env bash
# Makes initial corpora for the fuzzers: small files of every kind, written by the programs.
#   tests/fuzz/corpora.sh BIN OUT     BIN: the folder of char_lm and handwriting; OUT: gets one folder per target
set -euo pipefail
bin=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
export OMP_NUM_THREADS=1
mkdir -p "$out"/{safetensors,metadata,settings,ink_settings,tar,text,ink_xml}

printf 'abc%.0s' $(seq 40) > abc.txt # three symbols
"$bin/char_lm" train --corpus abc.txt --units 3,2 --embedding 2 --output-embedding 2 --batch 1 --window 5 --eval-streams 1 \
  --steps 1 --device cpu --out text > /dev/null
"$bin/handwriting" train --synthetic-lines 20 --units 3,2 --output-embedding 2 --mixtures 2 --batch 2 --window 20 --steps 1 \
  --device cpu --out ink > /dev/null
"$bin/handwriting" synthesize --lines 3 --out files

python3 - "$out" << 'PYTHON'
import bz2, glob, gzip, io, json, lzma, struct, sys, tarfile
out = sys.argv[1]
def put(target, name, data):
    open(f"{out}/{target}/{name}", "wb").write(data if isinstance(data, bytes) else data.encode())
def header(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + size]), data[8 + size:]
for run in ("text", "ink"):
    meta, rest = header(f"{run}/last/model.safetensors")
    put("metadata", run, meta["__metadata__"]["hmrnn"])
    put("safetensors", run, open(f"{run}/last/model.safetensors", "rb").read())
    del meta["__metadata__"]["hmrnn.xxh3"]
    text = json.dumps(meta).encode()
    put("safetensors", run + "_without_checksums", struct.pack("<Q", len(text)) + text + rest)
for run, target, start in (("text", "settings", "--corpus\0synthetic"), ("ink", "ink_settings", "--synthetic-lines\x0020")):
    state, _ = header(f"{run}/last/state.safetensors")
    put(target, "state", state["__metadata__"]["hmrnn"])
    for name, value in json.loads(state["__metadata__"]["hmrnn"])["run"]["options"].items():
        put(target, name, f"{start}\0--{name}\0{value}")
ink = [open(path, "rb").read() for path in sorted(glob.glob("files/lineStrokes/*/*/*.xml"))]
small = ink[0][:ink[0].index(b"</Stroke>")] + b"</Stroke></StrokeSet></WhiteboardCaptureSession>"
put("ink_xml", "line", small)
put("ink_xml", "page", small.replace(b"<StrokeSet>", b"<Transcription><TextLine/><TextLine/></Transcription><StrokeSet>"))
for mode, kind in (("w", "plain"), ("w:gz", "gz"), ("w:xz", "xz"), ("w:bz2", "bz2")):
    for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode=mode, format=form) as tar:
            for name in ("a/one.xml", "a/" + (90 if form == tarfile.USTAR_FORMAT else 120) * "n" + ".xml"):
                info = tarfile.TarInfo(name)
                info.size = 40
                tar.addfile(info, io.BytesIO(40 * b"x"))
        put("tar", f"{kind}{form}", packed.getvalue())
text = b"t h e _ c a t\n s a t\n\n" * 4
for name, data in (("plain", text), ("xz", lzma.compress(text)), ("two_xz", lzma.compress(text) + lzma.compress(text)),
                   ("gz", gzip.compress(text)), ("bz2", bz2.compress(text)), ("bomb", lzma.compress(bytes(1 << 22)))):
    put("text", name, data)
PYTHON
