#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/ops/cuda_library.h"

using namespace hmrnn;

namespace {

bool is_mapped(const std::string& library) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);)
    if (line.find(library) != std::string::npos) return true;
  return false;
}

/// The message of the Error that this device causes; empty if there is none.
std::string why_refused(const std::string& name) {
  try {
    resolve_device(name);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

}  // namespace

// First in this file, since later tests may open the library.
TEST_CASE("a program that stays on the CPU loads no CUDA library") {
  if (is_mapped("libhmrnn_cuda")) {
    std::cout << "skipped: a test of another file opened the CUDA library in this process" << std::endl;
    return;
  }
  CHECK(resolve_device("cpu") == torch::Device(torch::kCPU));
  CHECK(describe_device(torch::kCPU) == "cpu");
  CHECK(torch::ones({2}, resolve_device("cpu")).sum().item<float>() == 2);
  REQUIRE(is_mapped("libtorch_cpu.so"));
  CHECK_FALSE(is_mapped("libtorch_cuda"));
  CHECK_FALSE(is_mapped("libhmrnn_cuda"));
}

TEST_CASE("a device that does not exist is named in one line") {
  for (const char* name : {"", "gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1 ", "cuda:128", "cuda0"}) {
    const auto text = why_refused(name);
    CHECK_THAT(text, ContainsSubstring("device '" + std::string(name) + "' is not one of cpu, cuda, cuda:N, auto"));
  }
}

TEST_CASE("auto is CUDA exactly where cuda works, and a refusal is one line") {
  const auto text = why_refused("cuda");
  const auto device = resolve_device("auto");
  if (text.empty()) {
    CHECK(device == torch::Device(torch::kCUDA, 0));
    CHECK(is_mapped("libhmrnn_cuda"));
    CHECK(torch::ones({2}, device).sum().item<float>() == 2);
    const auto found = cuda_device(0);
    CHECK(found.major >= 8);
    CHECK(found.free_bytes <= found.total_bytes);
    CHECK(found.total_bytes > 0);
    CHECK_THAT(describe_device(device), ContainsSubstring(found.name));
  } else {
    CHECK(device == torch::Device(torch::kCPU));
    CHECK(text.find('\n') == std::string::npos);
    const bool opened = is_mapped("libhmrnn_cuda");
    CHECK_THAT(text, ContainsSubstring(opened ? "device 'cuda"
                                              : "CUDA was requested, but libhmrnn_cuda.so cannot be opened: "));
  }
  // No machine has that many.
  CHECK_FALSE(why_refused("cuda:127").empty());
}

TEST_CASE("threads that resolve a device at the same time get the same result") {
  const auto expected = resolve_device("auto");
  std::vector<std::thread> threads;
  std::vector<int> agrees(4, 0);
  for (size_t i = 0; i < agrees.size(); ++i)
    threads.emplace_back([&, i] { agrees[i] = resolve_device("auto") == expected; });
  for (auto& thread : threads) thread.join();
  CHECK(agrees == std::vector<int>(4, 1));
}
