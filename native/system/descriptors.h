#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "error.h"
#include "reactor/unique_fd.h"

namespace iserd {

// A connected pair of Unix stream sockets, both ends with (about) this send buffer in bytes.
[[nodiscard]] Result<std::pair<UniqueFd, UniqueFd>> SocketPair(uint32_t send_buffer_size);

// Socket, bind and listen on `path`, which never has more permissions than `mode` and belongs to
// the named group ("": ours) before anybody can connect. A socket file that nobody listens on is
// replaced; a live one is EADDRINUSE and any other file EEXIST.
[[nodiscard]] Result<UniqueFd> ListenUnix(const std::string& path, mode_t mode, int backlog,
                                          const std::string& group = {});

// Socket, bind and listen on a numeric address; accepted connections have TCP_NODELAY and
// keepalive.
[[nodiscard]] Result<UniqueFd> ListenTcp(const std::string& address, uint32_t port, int backlog);

[[nodiscard]] Result<UniqueFd> Duplicate(int fd);

// shutdown(2) of both directions: the peer sees the end of the stream even while copies of the fd
// are open elsewhere.
[[nodiscard]] Result<void> Shutdown(int fd);

// Opens (makes, if it must) the file `path` and takes flock(2)'s exclusive lock on it: EAGAIN when
// somebody has it. The lock goes with the last copy of the fd, however its holders end, and stays
// across execve(2).
[[nodiscard]] Result<UniqueFd> LockFile(const std::string& path);

// Whether the peer of a stream socket has closed or shut down its end. Bytes that came before may
// still be readable.
[[nodiscard]] Result<bool> PeerHasHungUp(int fd);

}  // namespace iserd
