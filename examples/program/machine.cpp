#include "examples/program/machine.h"

#include "hmrnn/ops/cuda_library.h"

std::vector<OptionSpec> machine_options() {
  return {{"threads", "N", "CPU threads (default: all cores)", "Machine"},
          {"device", "NAME", "cpu, cuda or auto (default)", "Machine"}};
}

torch::Device set_up_machine(int64_t threads, const std::string& device) {
  if (threads > 0) at::set_num_threads(static_cast<int>(threads));
  return hmrnn::resolve_device(device);
}

torch::Device set_up_machine(const Arguments& arguments) {
  return set_up_machine(parse_integer("threads", arguments.get("threads", "0"), 0, 4096),
                        arguments.get("device", "auto"));
}
