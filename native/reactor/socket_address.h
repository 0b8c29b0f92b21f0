#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "error.h"

namespace iserd {

// A numeric IPv4 or IPv6 address (scope id allowed) with a port. Value type.
struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;

  // Names are not resolved: EINVAL.
  [[nodiscard]] static Result<SocketAddress> Parse(const std::string& address, uint32_t port);

  [[nodiscard]] sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

}  // namespace iserd
