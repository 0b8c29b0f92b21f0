#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>

#include "error.h"
#include "reactor/unique_fd.h"

namespace iserd {

// Which descriptor of an object is ready.
enum class Source : uint32_t {
  kObject = 0,             // a stream's or listener's socket, an RDMA connection's CM event channel
  kCompletionChannel = 1,  // of an RDMA connection
  kDevice = 2,             // a device's asynchronous events; the id is the protection domain's
  kMailbox = 3,            // device events read by another reactor of this process
};

// The reactor's one epoll set. JavaScript thread; owned by the reactor.
class EpollSet {
 public:
  explicit EpollSet(UniqueFd fd) : fd_(std::move(fd)) {}

  [[nodiscard]] static Result<UniqueFd> Open() {
    UniqueFd fd(epoll_create1(EPOLL_CLOEXEC));
    if (fd.get() < 0) return LastError("epoll_create1");
    return fd;
  }

  Result<void> Add(int fd, uint32_t events, Source source, uint32_t id) {
    return Control(EPOLL_CTL_ADD, fd, events, source, id);
  }

  // Also re-evaluates readiness: an edge-triggered descriptor that is ready now is reported again.
  Result<void> Modify(int fd, uint32_t events, Source source, uint32_t id) {
    return Control(EPOLL_CTL_MOD, fd, events, source, id);
  }

  // Closing is not enough: a duplicate of the descriptor would keep it in the set.
  void Remove(int fd) { epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

  // What is ready now, without waiting.
  [[nodiscard]] std::span<epoll_event> Poll(std::span<epoll_event> events) {
    const int count = epoll_wait(fd_.get(), events.data(), static_cast<int>(events.size()), 0);
    return events.first(count > 0 ? static_cast<size_t>(count) : 0);
  }

  [[nodiscard]] int fd() const { return fd_.get(); }

  [[nodiscard]] static Source SourceOf(const epoll_event& event) {
    return static_cast<Source>(event.data.u64 >> 32);
  }
  [[nodiscard]] static uint32_t IdOf(const epoll_event& event) {
    return static_cast<uint32_t>(event.data.u64);
  }

 private:
  Result<void> Control(int action, int fd, uint32_t events, Source source, uint32_t id) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = uint64_t{static_cast<uint32_t>(source)} << 32 | id;
    if (epoll_ctl(fd_.get(), action, fd, &event) != 0) return LastError("epoll_ctl");
    return {};
  }

  UniqueFd fd_;
};

}  // namespace iserd
