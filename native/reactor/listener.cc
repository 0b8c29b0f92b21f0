#include "reactor/listener.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

namespace iserd {

namespace {

// Edge-triggered, because a level that cannot be served for want of descriptors would spin.
constexpr uint32_t kEvents = EPOLLIN | EPOLLET;
// Accepted in one go, so that a flood of connections leaves time for the others.
constexpr int kBatch = 32;

}  // namespace

Result<std::unique_ptr<Listener>> Listener::Adopt(ReactorContext& context, int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return LastError("fcntl");
  return std::make_unique<Listener>(context, UniqueFd(fd));
}

Result<void> Listener::Attach(uint32_t id) {
  id_ = id;
  return context_.epoll.Add(fd_.get(), kEvents, Source::kObject, id);
}

void Listener::OnReady(Source, uint32_t) {
  exhausted_ = false;
  for (int accepted = 0; accepted < kBatch; ++accepted) {
    const int fd = accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      context_.Complete(
          {.kind = completion_kind::kAccept, .object = id_, .result = static_cast<uint32_t>(fd)});
      continue;
    }
    // accept(2): errors of a connection that is gone already are no errors of the listener.
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
    exhausted_ = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    context_.Complete({.kind = completion_kind::kAccept,
                       .object = id_,
                       .result = kNoDescriptor,
                       .status = static_cast<uint32_t>(errno)});
    return;
  }
  ReportAgain();
}

void Listener::OnDescriptorFreed() {
  if (exhausted_) ReportAgain();
}

void Listener::ReportAgain() {
  // Cannot fail for a descriptor that is in the set; if it did, the next connection would bring the
  // edge.
  static_cast<void>(context_.epoll.Modify(fd_.get(), kEvents, Source::kObject, id_).ok());
}

}  // namespace iserd
