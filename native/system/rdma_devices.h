#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace iserd {

// What a verbs device says of itself, asked without a connection. Value types, any thread.
struct RdmaPort {
  uint32_t number;
  bool active;
  bool ethernet;             // else InfiniBand
  uint32_t active_mtu = 0;   // bytes of payload in a packet
  uint32_t largest_mtu = 0;  // that the port can have
};

struct RdmaDeviceState {
  std::string name;
  std::string node;  // under /dev/infiniband
  int error = 0;     // positive errno: why it cannot be used; nothing below is known then
  std::string lacking_for_paging = {};  // empty: memory can be registered for paging on demand
  std::vector<RdmaPort> ports;
};

// The devices that programs can see; none where the kernel has no verbs.
[[nodiscard]] std::vector<RdmaDeviceState> RdmaDevices();

// Adds rdmaDevices.
void DefineRdmaDevices(Napi::Env env, Napi::Object system);

}  // namespace iserd
