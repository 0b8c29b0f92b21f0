#include "system/descriptors.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace iserd {

namespace {

[[nodiscard]] bool SetSendBuffer(int fd, uint32_t size) {
  const int value = static_cast<int>(size);
  // The forced variant passes net.core.wmem_max but needs CAP_NET_ADMIN.
  return setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &value, sizeof value) == 0 ||
         setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof value) == 0;
}

[[nodiscard]] Result<UniqueFd> UnixSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return LastError("socket");
  return fd;
}

// Removes `path` if it is a socket that nobody listens on.
[[nodiscard]] Result<void> RemoveStale(const std::string& path, const sockaddr_un& address) {
  struct stat file{};
  if (lstat(path.c_str(), &file) != 0) return LastError("lstat");
  if (!S_ISSOCK(file.st_mode)) {
    return Error{.number = EEXIST, .syscall = "bind", .detail = path + " is not a socket"};
  }
  Result<UniqueFd> probe = UnixSocket();
  if (!probe.ok()) return probe.error();
  // A live listener whose backlog is full must not make us wait.
  if (fcntl(probe.value().get(), F_SETFL, O_NONBLOCK) != 0) return LastError("fcntl");
  if (connect(probe.value().get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
          0 ||
      errno == EAGAIN) {
    return Error{
        .number = EADDRINUSE, .syscall = "bind", .detail = "another process listens on " + path};
  }
  if (errno != ECONNREFUSED) return LastError("connect");
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return LastError("unlink");
  return {};
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> SocketPair(uint32_t send_buffer_size) {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return LastError("socketpair");
  std::pair<UniqueFd, UniqueFd> ends{UniqueFd(fds[0]), UniqueFd(fds[1])};
  for (const int fd : fds) {
    if (!SetSendBuffer(fd, send_buffer_size)) return LastError("setsockopt(SO_SNDBUF)");
  }
  return ends;
}

Result<UniqueFd> ListenUnix(const std::string& path, mode_t mode, int backlog) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{.number = ENAMETOOLONG,
                 .syscall = "bind",
                 .detail = "a socket path has 1 to " + std::to_string(sizeof address.sun_path - 1) +
                           " bytes"};
  }
  std::memcpy(address.sun_path, path.c_str(), path.size());
  Result<UniqueFd> listener = UnixSocket();
  if (!listener.ok()) return listener;
  const int fd = listener.value().get();
  // bind(2) creates the file with the mode of the socket's inode less the umask: it is never open
  // to more than `mode` allows, and the process-wide umask stays as it is.
  if (fchmod(fd, mode) != 0) return LastError("fchmod");
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  if (bind(fd, where, sizeof address) != 0) {
    if (errno != EADDRINUSE) return LastError("bind");
    const Result<void> removed = RemoveStale(path, address);
    if (!removed.ok()) return removed.error();
    if (bind(fd, where, sizeof address) != 0) return LastError("bind");
  }
  // Gives back what the umask took.
  if (chmod(path.c_str(), mode) != 0) return LastError("chmod");
  if (listen(fd, backlog) != 0) return LastError("listen");
  return listener;
}

Result<UniqueFd> Duplicate(int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (copy.get() < 0) return LastError("fcntl(F_DUPFD_CLOEXEC)");
  return copy;
}

Result<void> Shutdown(int fd) {
  if (shutdown(fd, SHUT_RDWR) != 0 && errno != ENOTCONN) return LastError("shutdown");
  return {};
}

Result<bool> PeerHasHungUp(int fd) {
  pollfd entry{.fd = fd, .events = POLLRDHUP, .revents = 0};
  int ready = 0;
  do {
    ready = poll(&entry, 1, 0);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return LastError("poll");
  if ((entry.revents & POLLNVAL) != 0) return Error{.number = EBADF, .syscall = "poll"};
  return (entry.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace iserd
