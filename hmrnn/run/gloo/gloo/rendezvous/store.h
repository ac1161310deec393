#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "gloo/transport/device.h"

namespace gloo::rendezvous {

/// Every function that c10d's store for Gloo overrides.
class Store {
 public:
  using Keys = std::vector<std::string>;
  using Value = std::vector<char>;

  virtual ~Store();
  virtual void set(const std::string& key, const Value& value) = 0;
  virtual Value get(const std::string& key) = 0;
  virtual void wait(const Keys& keys) = 0;
  virtual void wait(const Keys& keys, const std::chrono::milliseconds& timeout) = 0;
  virtual bool has_v2_support() = 0;
  virtual std::vector<Value> multi_get(const Keys& keys) = 0;
  virtual void multi_set(const Keys& keys, const std::vector<Value>& values) = 0;
  virtual void append(const std::string& key, const Value& value) = 0;
  virtual int64_t add(const std::string& key, int64_t value) = 0;
};

}  // namespace gloo::rendezvous
