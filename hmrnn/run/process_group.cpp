#include "hmrnn/run/process_group.h"

#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <optional>
#include <thread>
#include <vector>

#include "hmrnn/error.h"
#include "hmrnn/ops/device_sum.h"

#ifdef USE_C10D_GLOO  // LibTorch's headers require this definition but lack it; CMakeLists.txt determines it
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

namespace hmrnn {

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

int64_t number_or_zero(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? number(name, 0, 1 << 20) : 0;
}

/// An exception's text up to the first line end: LibTorch appends a stack trace.
std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

std::string seconds_of(std::chrono::milliseconds time) {
  return fmt::format("{:g} s", static_cast<double>(time.count()) / 1000);
}

}  // namespace

#ifdef USE_C10D_GLOO

namespace {

/// Blocks SIGPIPE during its lifetime, in this thread and in threads that it creates. The threads of Gloo and of the
/// store inherit the mask, so that writing to a connection that a process has closed is an error there, not a signal.
class BlockedPipeSignal {
 public:
  BlockedPipeSignal() {
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, &before_);
  }
  ~BlockedPipeSignal() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedPipeSignal(const BlockedPipeSignal&) = delete;
  BlockedPipeSignal& operator=(const BlockedPipeSignal&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

struct ProcessGroup::Backend {
  c10::intrusive_ptr<c10d::Backend> gloo;
  c10::intrusive_ptr<c10d::Store> job = {};  ///< torchrun's store, which outlives restarts; null if it has none
  std::unique_ptr<DeviceSum> device_sum = {};
  std::optional<torch::Device> device = std::nullopt;  ///< of device_sum

  static c10::intrusive_ptr<c10d::Backend> make_gloo(const c10::intrusive_ptr<c10d::Store>& store, int64_t rank,
                                                     int64_t size, std::chrono::milliseconds timeout) {
    const auto options = c10d::ProcessGroupGloo::Options::create_default(timeout);
    return c10::make_intrusive<c10d::ProcessGroupGloo>(store, static_cast<int>(rank), static_cast<int>(size), options);
  }
};

std::unique_ptr<ProcessGroup> ProcessGroup::from_environment(std::chrono::milliseconds timeout) {
  const char* set = std::getenv("WORLD_SIZE");
  if (!set || !*set) return nullptr;
  const auto size = number("WORLD_SIZE", 1, 1 << 20);
  const auto rank = size == 1 ? 0 : number("RANK", 0, size - 1);
  const auto local_rank = number_or_zero("LOCAL_RANK"), restarts = number_or_zero("TORCHELASTIC_RESTART_COUNT");
  const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
  const bool agent_has_store = agent && std::string(agent) == "True";
  std::unique_ptr<Backend> backend;
  if (size > 1 || agent_has_store) {
    const auto port = number("MASTER_PORT", 1, 65535);
    const auto address = variable("MASTER_ADDR");
    const BlockedPipeSignal blocked;
    try {
      c10d::TCPStoreOptions options;
      options.port = static_cast<uint16_t>(port);
      options.isServer = rank == 0 && !agent_has_store;
      options.numWorkers = static_cast<size_t>(size);
      options.waitWorkers = !agent_has_store;
      options.timeout = timeout;
      const c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(address, options);
      backend = std::make_unique<Backend>();
      if (agent_has_store) backend->job = c10::make_intrusive<c10d::PrefixStore>("/hmrnn/job", store);
      // Separate keys for each attempt, as in PyTorch: the store still has the keys from before a restart.
      const auto own = c10::make_intrusive<c10d::PrefixStore>(fmt::format("/hmrnn/attempt_{}", restarts), store);
      if (size > 1) backend->gloo = Backend::make_gloo(own, rank, size, timeout);
    } catch (const std::exception& error) {
      throw Error(fmt::format("process {} of {} found no group at {}:{} within {}: {}", rank, size, address, port,
                              seconds_of(timeout), first_line(error)));
    }
  }
  auto group = std::unique_ptr<ProcessGroup>(new ProcessGroup(std::move(backend), rank, size, timeout));
  group->local_rank_ = local_rank;
  group->restarts_ = restarts;
  return group;
}

std::unique_ptr<ProcessGroup> ProcessGroup::from_file(const std::string& store, int64_t rank, int64_t size,
                                                      std::chrono::milliseconds timeout) {
  require_rank(rank, size);
  const BlockedPipeSignal blocked;
  try {
    std::unique_ptr<Backend> backend;
    if (size > 1) {
      auto file = c10::make_intrusive<c10d::FileStore>(store, static_cast<int>(size));
      file->setTimeout(timeout);
      backend = std::make_unique<Backend>(Backend{Backend::make_gloo(file, rank, size, timeout)});
    }
    return std::unique_ptr<ProcessGroup>(new ProcessGroup(std::move(backend), rank, size, timeout));
  } catch (const std::exception& error) {
    throw Error(fmt::format("process {} of {} found no group through {} within {}: {}", rank, size, store,
                            seconds_of(timeout), first_line(error)));
  }
}

void ProcessGroup::use_device(torch::Device device) {
  if (size_ == 1) return;
  auto id = torch::zeros({kDeviceSumId}, torch::kInt64);
  lead([&] {
    const auto bytes = make_device_sum_id(device);
    for (int64_t i = 0; i < kDeviceSumId; ++i) id[i] = static_cast<int64_t>(bytes.at(static_cast<size_t>(i)));
  });
  sum(id);
  std::vector<uint8_t> bytes;
  for (int64_t i = 0; i < kDeviceSumId; ++i) bytes.push_back(static_cast<uint8_t>(id[i].item<int64_t>()));
  backend_->device_sum = make_device_sum(device, rank_, size_, bytes);
  backend_->device = device;
}

void ProcessGroup::sum(const torch::Tensor& tensor) const {
  TORCH_CHECK(tensor.is_contiguous(), "ProcessGroup::sum: the tensor must be contiguous");
  if (size_ == 1) return;
  const torch::NoGradGuard no_grad;
  if (backend_->device && tensor.device() == *backend_->device) {
    backend_->device_sum->sum(tensor.detach());
    return;
  }
  std::vector<at::Tensor> list{tensor.is_cpu() ? tensor.detach() : tensor.cpu()};
  wait_for([&] { backend_->gloo->allreduce(list)->wait(); });
  if (!tensor.is_cpu()) tensor.detach().copy_(list[0]);
}

void ProcessGroup::wait_for_sums() const {
  if (!backend_ || !backend_->device_sum) return;
  const auto end = std::chrono::steady_clock::now() + timeout_;
  while (!backend_->device_sum->ended()) {
    if (std::chrono::steady_clock::now() > end) {
      throw Error(
          fmt::format("process {} of {} waited for a sum over the GPUs of all processes, and one of them died "
                      "or hung (timeout {})",
                      rank_, size_, seconds_of(timeout_)));
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

torch::Tensor ProcessGroup::gather_rows(const torch::Tensor& rows) const {
  TORCH_CHECK(rows.dim() >= 1, "ProcessGroup::gather_rows: there are no rows");
  if (size_ == 1) return rows;
  const torch::NoGradGuard no_grad;
  auto counts = torch::zeros({size_}, torch::kInt64);
  counts[rank_] = rows.size(0);
  sum(counts);
  auto shape = rows.sizes().vec();
  shape[0] = counts.max().item<int64_t>();
  // Gathered as bytes, since Gloo does not support all dtypes. It does not support empty tensors either.
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
    const auto part = output[0][static_cast<size_t>(r)].view(mine.scalar_type()).view(shape);
    parts.push_back(part.narrow(0, 0, counts[r].item<int64_t>()));
  }
  return torch::cat(parts);
}

void ProcessGroup::mark(const std::string& name) const {
  if (backend_ && backend_->job) wait_for([&] { backend_->job->set(name, std::vector<uint8_t>{1}); });
}

bool ProcessGroup::marked(const std::string& name) const {
  bool found = false;
  if (backend_ && backend_->job) wait_for([&] { found = backend_->job->check({name}); });
  return found;
}

#else

struct ProcessGroup::Backend {};

std::unique_ptr<ProcessGroup> ProcessGroup::from_environment(std::chrono::milliseconds timeout) {
  const char* set = std::getenv("WORLD_SIZE");
  if (!set || !*set) return nullptr;
  auto group = from_file("", 0, number("WORLD_SIZE", 1, 1 << 20), timeout);
  group->local_rank_ = number_or_zero("LOCAL_RANK");
  group->restarts_ = number_or_zero("TORCHELASTIC_RESTART_COUNT");
  return group;
}

std::unique_ptr<ProcessGroup> ProcessGroup::from_file(const std::string&, int64_t rank, int64_t size,
                                                      std::chrono::milliseconds timeout) {
  if (size > 1) throw Error("several processes cannot train together: this LibTorch was built without Gloo");
  return std::unique_ptr<ProcessGroup>(new ProcessGroup(nullptr, rank, size, timeout));
}

void ProcessGroup::use_device(torch::Device) {}
void ProcessGroup::sum(const torch::Tensor&) const {}
void ProcessGroup::wait_for_sums() const {}
torch::Tensor ProcessGroup::gather_rows(const torch::Tensor& rows) const { return rows; }
void ProcessGroup::mark(const std::string&) const {}
bool ProcessGroup::marked(const std::string&) const { return false; }

#endif

ProcessGroup::ProcessGroup(std::unique_ptr<Backend> backend, int64_t rank, int64_t size,
                           std::chrono::milliseconds timeout)
    : backend_(std::move(backend)), rank_(rank), size_(size), timeout_(timeout) {}

ProcessGroup::~ProcessGroup() = default;

void ProcessGroup::wait_for(const std::function<void()>& work) const {
  const auto begin = std::chrono::steady_clock::now();
  try {
    work();
  } catch (const std::exception& error) {
    throw Error(fmt::format("process {} of {} waited for the others, and one of them died or hung (timeout {}): {}",
                            rank_, size_, seconds_of(timeout_), first_line(error)));
  }
  seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void ProcessGroup::barrier() const { sum(torch::zeros({1})); }

void ProcessGroup::lead(const std::function<void()>& work) const {
  std::exception_ptr thrown;
  if (leads()) {
    try {
      work();
    } catch (...) {
      thrown = std::current_exception();
    }
  }
  auto failed = torch::full({1}, thrown ? 1.0 : 0.0, torch::kFloat64);
  try {
    sum(failed);
  } catch (const Error&) {  // the exception of `work`, if there is one, is more specific
    if (thrown) std::rethrow_exception(thrown);
    throw;
  }
  if (thrown) std::rethrow_exception(thrown);
  if (failed.item<double>() > 0) {
    throw Error(fmt::format("process {} of {} ends, for the first one cannot go on", rank_, size_));
  }
}

void require_rank(int64_t rank, int64_t ranks) {
  if (rank < 0 || rank >= ranks) throw Error(fmt::format("there is no process {} of {}", rank, ranks));
}

std::pair<int64_t, int64_t> rows_of_rank(int64_t n, int64_t rank, int64_t size) {
  require_rank(rank, size);
  const auto begin = n * rank / size;
  return {begin, n * (rank + 1) / size - begin};
}

}  // namespace hmrnn
