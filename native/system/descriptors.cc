#include "system/descriptors.h"

#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <vector>

#include "reactor/socket_address.h"

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

[[nodiscard]] Result<gid_t> GroupNumber(const std::string& name) {
  std::vector<char> text(4096);
  group entry{};
  group* found = nullptr;
  int failure = 0;
  while ((failure = getgrnam_r(name.c_str(), &entry, text.data(), text.size(), &found)) == ERANGE)
    text.resize(2 * text.size());
  if (failure != 0) return Error{.number = failure, .syscall = "getgrnam_r"};
  if (found == nullptr) {
    return Error{.number = EINVAL, .syscall = "getgrnam_r", .detail = "there is no group " + name};
  }
  return found->gr_gid;
}

// Between bind(2) and listen(2) a socket looks as if nobody listened on it, and a stale one is
// removed by whoever finds it first: daemons that start at once take turns in its directory. Others
// may lock a directory, too, so after a second we go on without; then the worst is what it was
// before.
[[nodiscard]] UniqueFd TakeTurn(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  UniqueFd turn(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  constexpr int kAttempts = 100;
  constexpr useconds_t kPauseMicroseconds = 10'000;
  for (int attempt = 0; turn.get() >= 0 && attempt < kAttempts; ++attempt) {
    if (flock(turn.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) break;
    usleep(kPauseMicroseconds);
  }
  return turn;
}

[[nodiscard]] Result<void> SetOption(int fd, int level, int option, int value) {
  if (setsockopt(fd, level, option, &value, sizeof value) != 0) return LastError("setsockopt");
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

Result<UniqueFd> ListenUnix(const std::string& path, mode_t mode, int backlog,
                            const std::string& group_name) {
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
  std::optional<gid_t> group;
  if (!group_name.empty()) {
    Result<gid_t> number = GroupNumber(group_name);
    if (!number.ok()) return number.error();
    group = number.value();
  }
  const UniqueFd turn = TakeTurn(path);
  const auto* where = reinterpret_cast<const sockaddr*>(&address);
  if (bind(fd, where, sizeof address) != 0) {
    if (errno != EADDRINUSE) return LastError("bind");
    const Result<void> removed = RemoveStale(path, address);
    if (!removed.ok()) return removed.error();
    if (bind(fd, where, sizeof address) != 0) return LastError("bind");
  }
  // Nobody can connect before listen(2).
  if (group && lchown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) return LastError("chown");
  // Gives back what the umask took.
  if (chmod(path.c_str(), mode) != 0) return LastError("chmod");
  if (listen(fd, backlog) != 0) return LastError("listen");
  return listener;
}

Result<UniqueFd> ListenTcp(const std::string& address, uint32_t port, int backlog) {
  Result<SocketAddress> parsed = SocketAddress::Parse(address, port);
  if (!parsed.ok()) return parsed.error();
  const SocketAddress& where = parsed.value();
  UniqueFd listener(socket(where.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (listener.get() < 0) return LastError("socket");
  const int fd = listener.get();
  // Connections inherit these from the listener (tcp(7)): replies go out at once, and a peer that
  // is gone without a word is noticed within two minutes.
  struct {
    int level, option, value;
  } const options[] = {
      {SOL_SOCKET, SO_REUSEADDR, 1},    {IPPROTO_TCP, TCP_NODELAY, 1},
      {SOL_SOCKET, SO_KEEPALIVE, 1},    {IPPROTO_TCP, TCP_KEEPIDLE, 60},
      {IPPROTO_TCP, TCP_KEEPINTVL, 15}, {IPPROTO_TCP, TCP_KEEPCNT, 4},
  };
  for (const auto& [level, option, value] : options) {
    const Result<void> set = SetOption(fd, level, option, value);
    if (!set.ok()) return set.error();
  }
  // "::" is for IPv6 alone: what is not written down is not listened on.
  if (where.storage.ss_family == AF_INET6) {
    const Result<void> set = SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (!set.ok()) return set.error();
  }
  if (bind(fd, where.get(), where.length) != 0) {
    Error error = LastError("bind");
    error.detail = address + " port " + std::to_string(port);
    return error;
  }
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

Result<UniqueFd> LockFile(const std::string& path) {
  UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) return LastError("open");
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) return LastError("flock");
  return file;
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
