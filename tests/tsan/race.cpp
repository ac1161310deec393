// What the sanitizer must report, and what it must not, in a parallel region of LibTorch's OpenMP:
//   race shared     two threads write one value
//   race disjoint   each writes its own, and the caller reads both afterwards
#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  const bool shared = argc > 1 && std::string(argv[1]) == "shared";
  volatile int values[32] = {};
#pragma omp parallel for num_threads(2) schedule(static, 1)
  for (int i = 0; i < 2; ++i) {
    for (int n = 0; n < 1000; ++n) values[shared ? 0 : 16 * i] = values[shared ? 0 : 16 * i] + 1;
  }
  std::printf("%d\n", values[0] + values[16]);
}
