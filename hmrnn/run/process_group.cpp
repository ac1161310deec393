#include "hmrnn/run/process_group.h"

#define USE_C10D_GLOO  // what LibTorch was built with; its headers do not say so by themselves
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "hmrnn/error.h"

namespace hmrnn {

struct ProcessGroup::Backend {
  c10::intrusive_ptr<c10d::Backend> gloo;
};

namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) throw Error(fmt::format("WORLD_SIZE is set, so torchrun's {} is needed, but it is not", name));
  return value;
}

int64_t number(const char* name, int64_t least, int64_t most) {
  const auto text = variable(name);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    throw Error(fmt::format("{}={} is not a number from {} to {}", name, text, least, most));
  }
  return value;
}

/// An exception's text up to the first line end: LibTorch puts a stack below it.
std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, int64_t rank, int64_t size,
                                            std::chrono::milliseconds timeout) {
  const auto options = c10d::ProcessGroupGloo::Options::create_default(timeout);
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, static_cast<int>(rank), static_cast<int>(size), options);
}

}  // namespace

ProcessGroup::ProcessGroup(std::unique_ptr<Backend> backend, int64_t rank, int64_t size,
                           std::chrono::milliseconds timeout)
    : backend_(std::move(backend)), rank_(rank), size_(size), timeout_(timeout) {}

ProcessGroup::~ProcessGroup() = default;

std::unique_ptr<ProcessGroup> ProcessGroup::from_environment(std::chrono::milliseconds timeout) {
  const char* set = std::getenv("WORLD_SIZE");
  if (!set || !*set) return nullptr;
  const auto size = number("WORLD_SIZE", 1, 1 << 20);
  const auto rank = number("RANK", 0, size - 1);
  const auto port = number("MASTER_PORT", 1, 65535);
  const auto address = variable("MASTER_ADDR");
  const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
  const bool agent_has_store = agent && std::string(agent) == "True";
  try {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(port);
    options.isServer = rank == 0 && !agent_has_store;
    options.numWorkers = static_cast<size_t>(size);
    options.waitWorkers = !agent_has_store;
    options.timeout = timeout;
    c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(address, options);
    // Keys of their own after each restart, as PyTorch's programs have them.
    const char* attempt = std::getenv("TORCHELASTIC_RESTART_COUNT");
    store = c10::make_intrusive<c10d::PrefixStore>(fmt::format("/hmrnn/attempt_{}", attempt ? attempt : "0"), store);
    auto backend = std::make_unique<Backend>(Backend{make_gloo(store, rank, size, timeout)});
    return std::unique_ptr<ProcessGroup>(new ProcessGroup(std::move(backend), rank, size, timeout));
  } catch (const std::exception& error) {
    throw Error(fmt::format("process {} of {} found no group at {}:{} within {} s: {}", rank, size, address, port,
                            timeout.count() / 1000, first_line(error)));
  }
}

std::unique_ptr<ProcessGroup> ProcessGroup::from_file(const std::string& store, int64_t rank, int64_t size,
                                                      std::chrono::milliseconds timeout) {
  TORCH_CHECK(size >= 1 && rank >= 0 && rank < size, "ProcessGroup: there is no rank ", rank, " of ", size);
  try {
    auto file = c10::make_intrusive<c10d::FileStore>(store, static_cast<int>(size));
    file->setTimeout(timeout);
    auto backend = std::make_unique<Backend>(Backend{make_gloo(file, rank, size, timeout)});
    return std::unique_ptr<ProcessGroup>(new ProcessGroup(std::move(backend), rank, size, timeout));
  } catch (const std::exception& error) {
    throw Error(fmt::format("process {} of {} found no group through {}: {}", rank, size, store, first_line(error)));
  }
}

void ProcessGroup::wait_for(const std::function<void()>& work) const {
  try {
    work();
  } catch (const std::exception& error) {
    throw Error(fmt::format("process {} of {} waited for the others, and one of them died or hung (timeout {} s): {}",
                            rank_, size_, timeout_.count() / 1000, first_line(error)));
  }
}

void ProcessGroup::sum(const torch::Tensor& tensor) const {
  TORCH_CHECK(tensor.is_contiguous(), "ProcessGroup::sum: the tensor must be contiguous");
  if (size_ == 1) return;
  const torch::NoGradGuard no_grad;
  std::vector<at::Tensor> list{tensor.is_cpu() ? tensor.detach() : tensor.cpu()};
  wait_for([&] { backend_->gloo->allreduce(list)->wait(); });
  if (!tensor.is_cpu()) tensor.detach().copy_(list[0]);
}

torch::Tensor ProcessGroup::gather_rows(const torch::Tensor& rows) const {
  TORCH_CHECK(rows.dim() >= 1, "ProcessGroup::gather_rows: there are no rows");
  if (size_ == 1) return rows;
  const torch::NoGradGuard no_grad;
  auto counts = torch::zeros({size_}, torch::kInt64);
  counts[rank_] = rows.size(0);
  sum(counts);
  const auto most = counts.max().item<int64_t>();
  auto shape = rows.sizes().vec();
  shape[0] = most;
  // Bytes: Gloo does not know all dtypes. (Nor tensors without an element.)
  auto mine = torch::zeros(shape, rows.options().device(torch::kCPU));
  mine.narrow(0, 0, rows.size(0)).copy_(rows);
  if (mine.numel() == 0) {
    shape[0] = counts.sum().item<int64_t>();
    return torch::zeros(shape, mine.options());
  }
  std::vector<at::Tensor> input{mine.flatten().view(torch::kUInt8)};
  std::vector<std::vector<at::Tensor>> output(1);
  for (int64_t r = 0; r < size_; ++r) output[0].push_back(torch::empty_like(input[0]));
  wait_for([&] { backend_->gloo->allgather(output, input)->wait(); });
  std::vector<torch::Tensor> parts;
  for (int64_t r = 0; r < size_; ++r) {
    parts.push_back(
        output[0][static_cast<size_t>(r)].view(mine.scalar_type()).view(shape).narrow(0, 0, counts[r].item<int64_t>()));
  }
  return torch::cat(parts);
}

void ProcessGroup::barrier() const { sum(torch::zeros({1})); }

std::pair<int64_t, int64_t> rows_of_rank(int64_t n, int64_t rank, int64_t size) {
  const auto begin = n * rank / size;
  return {begin, n * (rank + 1) / size - begin};
}

}  // namespace hmrnn
