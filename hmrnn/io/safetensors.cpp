#include "hmrnn/io/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <bit>
#include <cerrno>
#include <new>
#include <unordered_set>

#include "hmrnn/error.h"
#include "hmrnn/io/atomic_file.h"
#include "hmrnn/io/file_descriptor.h"
#include "hmrnn/io/safetensors_checksums.h"
#include "hmrnn/io/safetensors_header.h"

namespace hmrnn {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian and data is not swapped here");

constexpr size_t kLengthSize = 8;  // bytes of the header's length field

/// Reads exactly `size` bytes. The file may have shrunk since its size was read.
void read_exactly(int descriptor, void* data, size_t size, const std::string& path) {
  size_t count = 0;
  if (const int error = read_fully(descriptor, data, size, &count)) throw_errno(path, "cannot read", error);
  if (count != size) throw Error(path + ": the file ended while it was being read");
}

torch::Tensor read_tensor(int descriptor, const SafetensorsEntry& entry, const std::string& path) {
  const size_t size = entry.end - entry.begin;
  torch::Tensor tensor;
  try {
    tensor = torch::empty(entry.shape, torch::dtype(entry.dtype).device(torch::kCPU));
  } catch (const c10::Error&) {  // from the allocator; the shape was checked before
    throw Error(path + ": not enough memory for the " + std::to_string(size) + " bytes of tensor " + quote(entry.name));
  }
  read_exactly(descriptor, tensor.data_ptr(), size, path);
  if (entry.dtype == torch::kBool) {
    // A bool with another bit pattern would be undefined behaviour in C++.
    const auto* bytes = static_cast<const unsigned char*>(tensor.data_ptr());
    for (size_t i = 0; i < size; ++i) {
      if (bytes[i] > 1) {
        throw Error(path + ": tensor " + quote(entry.name) + " of dtype BOOL holds the byte " +
                    std::to_string(bytes[i]));
      }
    }
  }
  return tensor;
}

/// The header of `file`, without reading the tensors' data.
SafetensorsHeader describe(const SafeTensors& file, const std::string& path) {
  SafetensorsHeader header;
  header.metadata = file.metadata;
  if (file.metadata.contains(kChecksumKey)) {
    throw Error(path + ": cannot write: the metadata key " + kChecksumKey + " is reserved for checksums");
  }
  std::unordered_set<std::string> names{"__metadata__"};
  uint64_t position = 0;
  for (const auto& [name, tensor] : file.tensors) {
    const std::string where = path + ": cannot write tensor " + quote(name) + ": ";
    if (!names.insert(name).second) {
      throw Error(where + (name == "__metadata__" ? "the name is reserved" : "the name appears twice"));
    }
    if (!tensor.defined()) throw Error(where + "it is undefined");
    if (tensor.layout() != torch::kStrided) throw Error(where + "it is not dense");
    if (safetensors_dtype_name(tensor.scalar_type()).empty()) {
      throw Error(where + "the format has no dtype " + c10::toString(tensor.scalar_type()));
    }
    const std::vector<int64_t> shape = tensor.sizes().vec();
    const auto size = safetensors_byte_size(tensor.scalar_type(), shape);
    if (!size || shape.size() > kSafetensorsMaxDimensions) throw Error(where + "its shape is too large");
    header.entries.push_back({name, tensor.scalar_type(), shape, position, position + *size});
    position += *size;
  }
  return header;
}

/// The tensor with the memory layout of the file.
torch::Tensor stored(const torch::Tensor& tensor) { return tensor.detach().to(torch::kCPU).resolve_neg().contiguous(); }

/// Copies one tensor at a time, to limit memory.
void add_checksums(SafetensorsHeader& header, const SafeTensors& file) {
  SafetensorsChecksums checksums;
  checksums.header = checksum_of(header);
  for (const auto& [name, tensor] : file.tensors) {
    const auto bytes = stored(tensor);
    checksums.tensors[name] = checksum_of(bytes.const_data_ptr(), bytes.nbytes());
  }
  header.metadata[kChecksumKey] = checksums.format();
}

}  // namespace

torch::Tensor SafeTensors::find(const std::string& name) const {
  for (const auto& [key, tensor] : tensors) {
    if (key == name) return tensor;
  }
  return {};
}

torch::Tensor SafeTensors::require(const std::string& name, torch::IntArrayRef sizes, torch::ScalarType dtype,
                                   const std::string& where) const {
  auto tensor = find(name);
  if (!tensor.defined()) throw Error(where + ": tensor " + name + " is missing");
  if (tensor.sizes() != sizes || tensor.scalar_type() != dtype) {
    throw Error(where + ": tensor " + name + " must be " + c10::toString(dtype) + " " + c10::str(sizes) + ", not " +
                c10::toString(tensor.scalar_type()) + " " + c10::str(tensor.sizes()));
  }
  return tensor;
}

void write_safetensors(const std::filesystem::path& path, const SafeTensors& file) {
  auto description = describe(file, path.string());
  add_checksums(description, file);
  std::string header = format_safetensors_header(description, path.string());
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > kSafetensorsHeaderLimit) {
    throw Error(path.string() + ": cannot write: the header would be longer than 100 MB");
  }
  const uint64_t length = header.size();
  write_file_atomically(path, [&](const std::function<void(std::string_view)>& sink) {
    sink({reinterpret_cast<const char*>(&length), kLengthSize});
    sink(header);
    for (const auto& entry : file.tensors) {
      const torch::Tensor tensor = stored(entry.second);
      sink({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()});
    }
  });
}

SafeTensors read_safetensors(const std::filesystem::path& path) {
  const std::string name = path.string();
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  const FileDescriptor file(open_file(path, O_RDONLY | O_NONBLOCK));
  if (!file.valid()) throw_errno(path, "cannot open", errno);
  struct stat status;
  if (::fstat(file.get(), &status) != 0) throw_errno(path, "cannot read", errno);
  if (!S_ISREG(status.st_mode)) throw Error(name + ": not a regular file");
  const auto file_size = static_cast<uint64_t>(status.st_size);
  if (file_size < kLengthSize) {
    throw Error(name + ": not a safetensors file: only " + std::to_string(file_size) + " bytes long");
  }
  uint64_t length = 0;
  read_exactly(file.get(), &length, kLengthSize, name);
  if (length > kSafetensorsHeaderLimit) {
    throw Error(name + ": its header is said to have " + std::to_string(length) + " bytes, more than 100 MB");
  }
  if (length > file_size - kLengthSize) {
    throw Error(name + ": the file is truncated: its header is said to have " + std::to_string(length) + " bytes, " +
                std::to_string(file_size - kLengthSize) + " are there");
  }
  SafetensorsHeader header;
  {
    std::string text(length, '\0');
    read_exactly(file.get(), text.data(), text.size(), name);
    header = parse_safetensors_header(text, file_size - kLengthSize - length, name);
  }
  const auto checksums = take_checksums(header, name);
  SafeTensors result;
  result.verified = checksums.has_value();
  result.metadata = std::move(header.metadata);
  result.tensors.reserve(header.entries.size());
  for (const SafetensorsEntry& entry : header.entries) {
    auto tensor = read_tensor(file.get(), entry, name);
    if (checksums && checksums->tensors.at(entry.name) != checksum_of(tensor.const_data_ptr(), tensor.nbytes())) {
      throw Error(name + ": tensor " + quote(entry.name) + " is not the one that its checksum is of: the file is " +
                  "damaged, or was edited (then delete the metadata key " + kChecksumKey + ")");
    }
    result.tensors.emplace_back(entry.name, std::move(tensor));
  }
  return result;
}

}  // namespace hmrnn
