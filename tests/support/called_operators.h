// Which operators a piece of code calls.
#pragma once

#include <ATen/record_function.h>

#include <map>
#include <string>

namespace hmrnn::test {

/// Names of the operators that f calls on this thread, below autograd or not, and how often each.
template <class F>
std::map<std::string, int> called_operators(F f) {
  static thread_local std::map<std::string, int>* seen = nullptr;
  std::map<std::string, int> out;
  seen = &out;
  const auto handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback([](const at::RecordFunction& call) -> std::unique_ptr<at::ObserverContext> {
        if (seen != nullptr) ++(*seen)[call.name()];
        return nullptr;
      }).scopes({at::RecordScope::FUNCTION}));
  f();
  at::removeCallback(handle);
  seen = nullptr;
  return out;
}

}  // namespace hmrnn::test
