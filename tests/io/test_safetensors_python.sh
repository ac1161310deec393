#!/usr/bin/env bash
# The reference implementation (the Python package `safetensors`) reads hmrnn's files, and hmrnn reads its files.
set -euo pipefail
python=${HMRNN_PYTHON:-python3}
if ! "$python" -c 'import numpy, safetensors.numpy' 2>/dev/null; then
  echo "skipped: $python has no safetensors and numpy"
  exit 0
fi
tests=${HMRNN_BIN_DIR:-build/release/bin}/hmrnn_tests
HMRNN_INTEROP_DIR=$(mktemp -d)
export HMRNN_INTEROP_DIR
trap 'rm -r "$HMRNN_INTEROP_DIR"' EXIT

"$tests" "interoperability: write"
"$python" - "$HMRNN_INTEROP_DIR" <<'PYTHON'
import json
import sys
import numpy as np
try:
    import xxhash
except ImportError:
    xxhash = None
from safetensors import safe_open
from safetensors.numpy import save_file

folder = sys.argv[1]
dtypes = {"Bool": np.bool_, "Byte": np.uint8, "Char": np.int8, "Short": np.int16, "Int": np.int32, "Long": np.int64,
          "Half": np.float16, "Float": np.float32, "Double": np.float64}
metadata = {"format": "pt", "hmrnn": '{"slope": 1.5, "text": "\u00e4"}'}
expected = {}
for name, dtype in dtypes.items():
    expected[name + ".matrix"] = (np.arange(-3, 9) % 5).reshape(3, 4).astype(dtype)
    expected[name + ".scalar"] = np.ones((), dtype)
    expected[name + ".empty"] = np.ones((2, 0), dtype)

with safe_open(folder + "/from_hmrnn.safetensors", framework="numpy") as file:
    found = file.metadata()
    checksums = json.loads(found.pop("hmrnn.xxh3"))
    assert found == metadata, found
    assert set(checksums) == {"header", "tensors"} and set(checksums["tensors"]) == set(expected), checksums
    if xxhash:  # what the checksums cover: see safetensors.h
        names = {"Bool": "BOOL", "Byte": "U8", "Char": "I8", "Short": "I16", "Int": "I32", "Long": "I64", "Half": "F16",
                 "Float": "F32", "Double": "F64"}
        about = {n: [names[n.split(".")[0]], list(a.shape)] for n, a in expected.items()}
        text = json.dumps({"metadata": metadata, "tensors": about}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert checksums["header"] == xxhash.xxh3_64_hexdigest(text.encode()), text
        assert all(checksums["tensors"][n] == xxhash.xxh3_64_hexdigest(a.tobytes()) for n, a in expected.items())
    assert set(file.keys()) == set(expected), set(file.keys()) ^ set(expected)
    for name, array in expected.items():
        found = file.get_tensor(name)
        assert found.dtype == array.dtype and found.shape == array.shape and np.array_equal(found, array), name
save_file(expected, folder + "/from_python.safetensors", metadata=metadata)
print(f"safetensors for Python read {len(expected)} tensors")
PYTHON
"$tests" "interoperability: read"
