// If the loader has found another LibTorch than the one the program was built with, this code ends the program with one
// line, instead of the loader's "undefined symbol". It is linked into each executable, since only executables may have
// a preinit_array. It runs before the initialisers of all libraries; functions are bound lazily (-z lazy), so that
// missing symbols do not matter yet. It must not call LibTorch.

#include <link.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <initializer_list>

namespace {

/// Finds the path of the libtorch_cpu.so that the loader has chosen.
int find_libtorch(dl_phdr_info* info, size_t, void* path) {
  const char* name = info->dlpi_name;
  if (name == nullptr || std::strstr(name, "/libtorch_cpu.so") == nullptr) return 0;
  std::snprintf(static_cast<char*>(path), 4096, "%s", name);
  return 1;
}

/// Reads the version from `folder`: version.py in a wheel, build-version in an archive from pytorch.org. False if
/// neither has one.
bool read_version(const char* folder, char* version, size_t size) {
  char path[4200];
  for (const char* file : {"version.py", "build-version"}) {
    std::snprintf(path, sizeof(path), "%s/%s", folder, file);
    FILE* f = std::fopen(path, "r");
    if (f == nullptr) continue;
    char line[256];
    bool found = false;
    while (!found && std::fgets(line, sizeof(line), f) != nullptr) {
      const char* digits = std::strstr(line, "__version__") == line ? std::strpbrk(line, "0123456789") : line;
      if (digits == nullptr || digits[0] < '0' || digits[0] > '9') continue;
      const size_t length = std::strspn(digits, "0123456789.");
      std::snprintf(version, size, "%.*s", static_cast<int>(length), digits);
      found = true;
    }
    std::fclose(f);
    if (found) return true;
  }
  return false;
}

/// Length of "major.minor."
size_t minor_length(const char* version) {
  const char* dot = std::strchr(version, '.');
  const char* second = dot != nullptr ? std::strchr(dot + 1, '.') : nullptr;
  return second != nullptr ? static_cast<size_t>(second - version) + 1 : std::strlen(version);
}

void check_libtorch(int, char** argv, char**) {
  char path[4096] = "", folder[4096], version[64];
  if (dl_iterate_phdr(find_libtorch, path) == 0) return;
  std::snprintf(folder, sizeof(folder), "%s", path);
  for (int i = 0; i < 2; ++i) {  // torch/lib/libtorch_cpu.so → torch
    char* slash = std::strrchr(folder, '/');
    if (slash == nullptr) return;
    *slash = '\0';
  }
  if (!read_version(folder, version, sizeof(version))) return;
  const char* built_with = HMRNN_BUILT_WITH_LIBTORCH;
  const size_t n = minor_length(built_with);
  if (minor_length(version) == n && std::strncmp(version, built_with, n) == 0) return;
  const char* name = std::strrchr(argv[0], '/');
  std::fprintf(stderr,
               "%s: built with LibTorch %s, but %s is of LibTorch %s, whose C++ interface is another one: install "
               "LibTorch %s, or build hmrnn with yours\n",
               name != nullptr ? name + 1 : argv[0], built_with, path, version, built_with);
  _exit(2);
}

}  // namespace

__attribute__((section(".preinit_array"), used)) void (*hmrnn_check_libtorch)(int, char**, char**) = check_libtorch;
