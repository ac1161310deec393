#!/usr/bin/env bash
# Makes a library for each one that LibTorch's CUDA libraries need and this machine lacks (cuDNN, cuBLAS, NCCL, …), so
# that they can be opened. A call into one of them ends the program. For the runtime (libcudart) it only makes the
# source, rest_of_cudart.cpp. All symbols are weak, so that the emulated ones replace them.
#   stubs.sh FOLDER LIBRARY…     LibTorch's libraries; the missing dependencies are made in FOLDER
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}") folder=$1
shift
mkdir -p "$folder"
symbols=$folder/needed_symbols

# Lines "library version symbol". The version is "-" if a symbol has none; then its prefix identifies the library.
for library in "$@"; do
  objdump -p "$library" | awk '/required from/ { sub(":", "", $3); from = $3 } NF == 4 && /^ *0x/ { print "V", from, $4 }
                               /NEEDED/ { print "L", $2 }'
  objdump -T "$library" | awk '/UND/ { version = match($0, /\([^)]*\)/) ? substr($0, RSTART + 1, RLENGTH - 2) : "-"
                                       print "S", version, $NF }'
done | sort -u | awk '
  $1 == "L" && $2 ~ /^lib(cublas|cublasLt|cuda|cudart|cudnn|cufft|cufile|curand|cusolver|cusparse|cusparseLt|nccl|nvshmem_host|nvrtc)\.so/ {
    all[$2] = 1
    prefix[$2] = $2
    sub(/^lib/, "", prefix[$2])
    sub(/(da|_host)?\.so.*/, "", prefix[$2])  # libcuda: cu…
  }
  $1 == "V" { from[$3] = $2 }
  $1 == "S" { version[$3] = $2 }
  END {
    for (library in all) print library
    for (symbol in version) {
      v = version[symbol]
      if (v != "-" && from[v] in all) print from[v], v, symbol
      for (library in all) {
        if (v == "-" && symbol !~ /^_/ && index(tolower(symbol), tolower(prefix[library])) == 1) print library, v, symbol
      }
    }
  }' | sort -u >"$symbols"

for library in $(cut -d' ' -f1 "$symbols" | sort -u); do
  source=$folder/${library%%.*}_stub.c map=$folder/${library%%.*}_stub.map
  awk -v l="$library" '
    BEGIN {
      print "#include <stdio.h>\n#include <stdlib.h>"
      print "#ifdef __cplusplus\n#define EXPORT extern \"C\" __attribute__((weak))"
      print "#else\n#define EXPORT __attribute__((weak))\n#endif"
    }
    $1 == l && NF == 3 && $3 ~ /^[A-Za-z_0-9]+$/ {
      printf "EXPORT void %s(void) { fprintf(stderr, \"emulated GPU: there is no %s\\n\"); abort(); }\n", $3, $3
    }' "$symbols" >"$source"
  if [[ $library == libcudart.so* ]]; then
    mv "$source" "$folder/rest_of_cudart.cpp"
    continue
  fi
  awk -v l="$library" '
    $1 == l && NF == 3 && $2 != "-" { of[$2] = of[$2] " " $3 ";" }
    END { for (v in of) printf "%s { global:%s };\n", v, of[v] }' "$symbols" >"$map"
  more=()
  [ ! -s "$map" ] || more+=("-Wl,--version-script=$map")
  [[ $library != libcuda.so* ]] || more+=("$here/driver.c")
  cc -w -shared -fPIC -Wl,-soname,"$library" -o "$folder/$library" "$source" "${more[@]}"
done
