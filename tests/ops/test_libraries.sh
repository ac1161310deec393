#!/usr/bin/env bash
# Tests the dependencies of the programs and libraries: only libhmrnn_cuda depends on CUDA. Its device code must exist;
# for which architectures is not checked.
set -euo pipefail
bin=${HMRNN_BIN_DIR:?}
lib=$bin/../lib
fail() { echo "FAILED: $*"; exit 1; }

checked=0
for file in "$bin"/* "$lib"/libhmrnn.so "$lib"/libhmrnn_train.so; do
  [ -x "$file" ] && [ -f "$file" ] || continue
  needed=$(ldd "$file")
  grep -q libtorch_cpu.so <<<"$needed" || fail "$file does not name libtorch_cpu"
  if grep -qE 'libtorch_cuda|libc10_cuda|libhmrnn_cuda' <<<"$needed"; then fail "$file loads a CUDA library: $needed"; fi
  if [ "$(grep -c libgomp <<<"$needed")" != 1 ]; then fail "$file loads two OpenMP runtimes: $needed"; fi
  checked=$((checked + 1))
done
[ "$checked" -ge 2 ] || fail "nothing to check in $bin and $lib"
echo "$checked programs and libraries do not depend on CUDA"

# A program that links libhmrnn gets no dependency but LibTorch.
others=$(readelf -d "$lib/libhmrnn.so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' |
  grep -vE '^(libtorch_cpu|libc10|libgomp|libomp|libstdc\+\+|libm|libgcc_s|libc|libdl|libpthread|ld-linux[-a-z0-9_]*|lib[a-z]*san)\.so' || true)
[ -z "$others" ] || fail "libhmrnn needs more than LibTorch: $others"
echo "libhmrnn needs LibTorch alone"

# Products go through ATen: a BLAS that the library looked up by name could be one that the host program exports.
if grep -qaE '[sd]gemm_' "$lib/libhmrnn.so"; then fail "libhmrnn looks for a BLAS by name"; fi
echo "libhmrnn looks for no BLAS by itself"

# One library contains the kernels of several instruction sets. The linker would merge a weak symbol outside the set's
# namespace with that of other files, which would then run this set's instructions on any CPU.
objects=0
for folder in "$bin"/../CMakeFiles/hmrnn_kernels_A[VM]*.dir; do
  [ -d "$folder" ] || continue
  set=${folder##*hmrnn_kernels_} set=${set%.dir}
  while IFS= read -r object; do
    objects=$((objects + 1))
    # In a mangled name, the length precedes a namespace.
    shared=$(nm "$object" | awk -v own="${#set}$set" '$2 ~ /^[WVu]$/ && !index($3, own) { print $3 }' | head -n 3 | c++filt)
    [ -z "$shared" ] || fail "$object has weak symbols that other files may be given: $shared"
  done < <(find "$folder" -name '*.o')
done
if [ -n "$(sed -n 's/^HMRNN_SANITIZE:[^=]*=//p' "$bin/../CMakeCache.txt")" ]; then objects=1; fi
case $(uname -m) in x86_64) [ "$objects" -gt 0 ] || fail "no kernels of an instruction set were found" ;; esac
echo "$objects kernel objects have no weak symbols outside their namespace"

if [ ! -e "$lib/libhmrnn_cuda.so" ]; then
  echo "skipped: libhmrnn_cuda is not built"
  exit 0
fi
dynamic=$(readelf -d "$lib/libhmrnn_cuda.so")
grep -q 'NEEDED.*libtorch_cuda.so' <<<"$dynamic" || fail "libhmrnn_cuda does not name libtorch_cuda"
sections=$(readelf -SW "$lib/libhmrnn_cuda.so")
grep -q '\.nv_fatbin' <<<"$sections" || fail "libhmrnn_cuda holds no device code"
exported=$(nm -D --defined-only -C "$lib/libhmrnn_cuda.so" | awk '$2 ~ /[TDBRG]/ { $1 = $2 = ""; print substr($0, 3) }')
[ "$exported" = $'hmrnn_cuda_forbid_synchronization\nhmrnn_cuda_query_device' ] ||
  fail "libhmrnn_cuda exports other functions than the two of ops/cuda/device.h and synchronization.h: $exported"
echo "libhmrnn_cuda names libtorch_cuda and holds device code"
