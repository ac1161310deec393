"""Changes a .safetensors file in place: edit_safetensors.py FILE CODE [keep]

CODE can use `header` (names to entries, without __metadata__), `metadata` (strings), `meta` (the JSON under the key hmrnn)
and `data` (a bytearray). Checksums are removed, as in a file of an earlier version, unless `keep` is given.
"""
import json
import struct
import sys

path, code = sys.argv[1:3]
raw = open(path, "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
header, data = json.loads(raw[8:8 + size]), bytearray(raw[8 + size:])
metadata = header.pop("__metadata__", {})
untouched = json.dumps([header, metadata]), bytes(data)
meta = json.loads(metadata["hmrnn"])
if sys.argv[3:] != ["keep"]:
    metadata.pop("hmrnn.xxh3", None)
before = json.dumps(meta)
exec(code)
if json.dumps(meta) != before:  # otherwise keep the text, for which there is a checksum
    metadata["hmrnn"] = json.dumps(meta)
if (json.dumps([header, metadata]), bytes(data)) == untouched:
    sys.exit()  # only read: a training may be replacing the file, or the folder may be read-only
text = json.dumps({"__metadata__": metadata, **header}).encode()
text += b" " * (-len(text) % 8)
open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
