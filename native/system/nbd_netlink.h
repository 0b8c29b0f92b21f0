#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "error.h"

namespace iserd {

// What NBD_CMD_CONNECT or NBD_CMD_RECONFIGURE carries; what is absent is not sent.
struct NbdAttributes {
  std::optional<uint32_t> index;
  std::optional<uint64_t> size_bytes;
  std::optional<uint64_t> block_size;
  std::optional<uint64_t> server_flags;
  std::optional<uint64_t> timeout_seconds;
  std::optional<uint64_t> dead_conn_timeout_seconds;
  std::optional<std::string> backend_identifier;
  std::vector<uint32_t> sockets;
};

struct NbdDeviceStatus {
  uint32_t index = 0;
  bool connected = false;
};

// Commands of the kernel's generic netlink family "nbd" (linux/nbd-netlink.h). Each opens a netlink
// socket of its own, blocks until the kernel has carried the command out, and must run in the
// process that owns the fds. Any thread but the event loop's: the kernel runs one nbd command at a
// time, and some wait for I/O.
[[nodiscard]] Result<uint32_t> NbdConnect(const NbdAttributes& attributes);
[[nodiscard]] Result<void> NbdReconfigure(const NbdAttributes& attributes);
[[nodiscard]] Result<void> NbdDisconnect(uint32_t index);
[[nodiscard]] Result<std::vector<NbdDeviceStatus>> NbdStatus();

}  // namespace iserd
