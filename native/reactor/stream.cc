#include "reactor/stream.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace iserd {

namespace {

// IOV_MAX of Linux: what one sendmsg takes.
constexpr size_t kMaximumSegments = 1024;
// Far below what one call can take, so that only a full socket makes a send short.
constexpr uint64_t kMaximumGather = uint64_t{1} << 30;
// The memory of a larger send is wanted back at once.
constexpr uint64_t kMaximumLazy = uint64_t{64} << 10;
constexpr uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

// Of a Unix socket: several large replies, so that they are not sent in pieces with a wake-up each.
constexpr int kSendBuffer = 4 << 20;

// Best effort. TCP sockets are left alone: the kernel sizes theirs by need.
void WidenSendBuffer(int fd) {
  int domain = 0;
  int present = 0;
  socklen_t length = sizeof(domain);
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 || domain != AF_UNIX) return;
  length = sizeof(present);
  if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &present, &length) != 0 || present >= kSendBuffer)
    return;
  // The privileged form goes beyond net.core.wmem_max.
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof(kSendBuffer)) != 0)
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(kSendBuffer));
}

bool WouldBlock(int number) { return number == EAGAIN || number == EWOULDBLOCK; }

}  // namespace

Result<std::unique_ptr<Stream>> Stream::Adopt(ReactorContext& context, int fd) {
  const int flags = fcntl(fd, F_GETFL);
  // Until here the descriptor is the caller's: on failure it stays so.
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return LastError("fcntl");
  WidenSendBuffer(fd);
  return std::make_unique<Stream>(context, UniqueFd(fd), false);
}

Result<std::unique_ptr<Stream>> Stream::Connect(ReactorContext& context,
                                                const SocketAddress& address) {
  UniqueFd fd(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) return LastError("socket");
  const int on = 1;
  if (setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
    return LastError("setsockopt");
  const int outcome = connect(fd.get(), address.get(), address.length) == 0 ? 0 : errno;
  auto stream = std::make_unique<Stream>(context, std::move(fd), true);
  if (outcome != 0 && outcome != EINPROGRESS) stream->connect_error_ = outcome;
  return stream;
}

Stream::Stream(ReactorContext& context, UniqueFd fd, bool connecting)
    : Object(context),
      fd_(std::move(fd)),
      connecting_(connecting),
      readable_(!connecting),
      writable_(!connecting) {}

Stream::~Stream() { context_.epoll.Remove(fd_.get()); }

Result<void> Stream::Attach(uint32_t id) {
  id_ = id;
  if (connect_error_ != 0) {
    connecting_ = false;
    failed_ = connect_error_;
    context_.Complete({.kind = completion_kind::kConnect,
                       .object = id_,
                       .status = static_cast<uint32_t>(failed_)});
    return {};
  }
  return context_.epoll.Add(fd_.get(), kEvents, Source::kObject, id);
}

void Stream::OnReady(Source, uint32_t events) {
  if (connecting_) {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    FinishConnect();
  }
  if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) peer_closed_ = true;
  if (peer_closed_ || (events & EPOLLIN) != 0) readable_ = true;
  if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) writable_ = true;
  TryReceive();
  TrySend(false);
}

void Stream::FinishConnect() {
  int status = 0;
  socklen_t length = sizeof(status);
  if (getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &status, &length) != 0) status = errno;
  connecting_ = false;
  if (status != 0) failed_ = status;
  context_.Complete(
      {.kind = completion_kind::kConnect, .object = id_, .status = static_cast<uint32_t>(status)});
  if (status != 0) FailSends(status);
}

void Stream::Submit(const Submission& submission) {
  switch (submission.operation) {
    case operation::kReceive:
      return SubmitReceive(submission);
    case operation::kSend:
      return SubmitSend(submission);
    case operation::kCancelReceive:
      if (receive_.active) CompleteReceive(ECANCELED);
      return;
    default:
      RefuseOperation(submission);
  }
}

void Stream::SubmitReceive(const Submission& submission) {
  int refusal = 0;
  if (receive_.active) {
    refusal = EBUSY;
  } else if (!context_.arena->Contains(submission.offset, submission.length)) {
    refusal = EFAULT;
  } else if (submission.length == 0 || submission.minimum_length > submission.length) {
    refusal = EINVAL;
  }
  if (refusal != 0) {
    context_.Complete({.kind = completion_kind::kReceive,
                       .object = id_,
                       .tag = submission.tag,
                       .status = static_cast<uint32_t>(refusal)});
    return;
  }
  receive_ = {.active = true,
              .tag = submission.tag,
              .offset = submission.offset,
              .length = submission.length,
              .minimum = std::max(submission.minimum_length, uint32_t{1}),
              .filled = 0};
  TryReceive();
}

void Stream::TryReceive() {
  while (receive_.active && readable_) {
    const uint32_t wanted = receive_.length - receive_.filled;
    const ssize_t count =
        recv(fd_.get(), context_.arena->base() + receive_.offset + receive_.filled, wanted,
             MSG_DONTWAIT);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (WouldBlock(errno)) {
        readable_ = false;
        return;
      }
      return CompleteReceive(static_cast<uint32_t>(errno));
    }
    if (count == 0) return CompleteReceive(kEndOfFile);
    receive_.filled += static_cast<uint32_t>(count);
    // A short read has emptied the socket: what comes later makes a new edge.
    if (static_cast<uint32_t>(count) < wanted && !peer_closed_) readable_ = false;
    if (receive_.filled >= receive_.minimum) return CompleteReceive(0);
  }
}

void Stream::CompleteReceive(uint32_t status) {
  receive_.active = false;
  context_.Complete({.kind = completion_kind::kReceive,
                     .object = id_,
                     .tag = receive_.tag,
                     .result = receive_.filled,
                     .status = status});
}

void Stream::SubmitSend(const Submission& submission) {
  int refusal = failed_;
  if (!context_.arena->Contains(submission.offset, submission.length) ||
      !context_.arena->Contains(submission.offset2, submission.length2))
    refusal = EFAULT;
  if (refusal != 0) {
    context_.Complete({.kind = completion_kind::kSend,
                       .object = id_,
                       .tag = submission.tag,
                       .status = static_cast<uint32_t>(refusal)});
    return;
  }
  sends_.Push({.tag = submission.tag,
               .flags = submission.flags,
               .offset = submission.offset,
               .length = submission.length,
               .offset2 = submission.offset2,
               .length2 = submission.length2});
  if (writable_) FlushLater();
}

void Stream::Flush() { TrySend(true); }

size_t Stream::Gather(std::span<iovec> segments, uint64_t& total) {
  size_t count = 0;
  uint64_t skip = front_sent_;
  total = 0;
  const auto add = [&](uint32_t offset, uint32_t length) {
    if (skip >= length) {
      skip -= length;
      return;
    }
    const auto skipped = static_cast<uint32_t>(skip);
    skip = 0;
    segments[count++] = {context_.arena->base() + offset + skipped, length - skipped};
    total += length - skipped;
  };
  for (size_t i = 0; i < sends_.size() && count + 2 <= segments.size() && total < kMaximumGather;
       ++i) {
    const PendingSend& send = sends_[i];
    add(send.offset, send.length);
    add(send.offset2, send.length2);
  }
  return count;
}

void Stream::TrySend(bool at_once) {
  // Written before each use and never kept: one per thread serves all streams.
  thread_local std::array<iovec, kMaximumSegments> segments;
  while (!sends_.empty() && writable_ && !connecting_) {
    uint64_t total = 0;
    msghdr message{};
    message.msg_iov = segments.data();
    message.msg_iovlen = Gather(segments, total);
    if (total == 0) {
      Advance(0, at_once);
      continue;
    }
    const ssize_t count = sendmsg(fd_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) {
      if (errno == EINTR) continue;
      if (!WouldBlock(errno)) return FailSends(errno);
      writable_ = false;
      return;
    }
    // A short send has filled the socket: room makes a new edge.
    if (static_cast<uint64_t>(count) < total) writable_ = false;
    Advance(static_cast<uint64_t>(count), at_once);
  }
}

void Stream::Advance(uint64_t count, bool at_once) {
  front_sent_ += count;
  while (!sends_.empty() && front_sent_ >= sends_.front().total()) {
    const PendingSend& send = sends_.front();
    front_sent_ -= send.total();
    if ((send.flags & submission_flag::kNotify) != 0) {
      const Completion completion{.kind = completion_kind::kSend, .object = id_, .tag = send.tag};
      if (at_once && send.total() <= kMaximumLazy)
        context_.CompleteLazily(completion);
      else
        context_.Complete(completion);
    }
    sends_.Pop();
  }
}

void Stream::FailSends(int number) {
  failed_ = number;
  front_sent_ = 0;
  for (; !sends_.empty(); sends_.Pop())
    context_.Complete({.kind = completion_kind::kSend,
                       .object = id_,
                       .tag = sends_.front().tag,
                       .status = static_cast<uint32_t>(number)});
}

}  // namespace iserd
