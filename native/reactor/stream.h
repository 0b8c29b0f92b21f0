#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>

#include "reactor/object.h"
#include "reactor/socket_address.h"
#include "reactor/unique_fd.h"

namespace iserd {

// A connected (or connecting) stream socket. JavaScript thread; owned by the reactor's object
// table.
//
// The socket is edge-triggered: `readable_` and `writable_` say that the last call did not find it
// exhausted, so a call may be tried at once; when it is exhausted the next edge is waited for. The
// kernel copies, so memory of a closed stream is free.
class Stream final : public Object {
 public:
  // Owns a connected socket.
  [[nodiscard]] static Result<std::unique_ptr<Stream>> Adopt(ReactorContext& context, int fd);
  // Starts a TCP connect. What fails after the arguments are accepted becomes a `connect`
  // completion.
  [[nodiscard]] static Result<std::unique_ptr<Stream>> Connect(ReactorContext& context,
                                                               const SocketAddress& address);

  Stream(ReactorContext& context, UniqueFd fd, bool connecting);
  ~Stream() override;

  Result<void> Attach(uint32_t id) override;
  void OnReady(Source source, uint32_t events) override;
  void Submit(const Submission& submission) override;
  void Flush() override;

 private:
  struct PendingSend {
    uint32_t tag;
    uint32_t flags;
    uint32_t offset;
    uint32_t length;
    uint32_t offset2;
    uint32_t length2;
    [[nodiscard]] uint64_t total() const { return uint64_t{length} + length2; }
  };
  struct PendingReceive {
    bool active = false;
    uint32_t tag = 0;
    uint32_t offset = 0;
    uint32_t length = 0;
    uint32_t minimum = 0;
    uint32_t filled = 0;
  };

  void SubmitReceive(const Submission& submission);
  void SubmitSend(const Submission& submission);
  void FinishConnect();
  void TryReceive();
  void CompleteReceive(uint32_t status);
  // `at_once`: what it sends was submitted just now, so that nobody waits for its completion yet.
  void TrySend(bool at_once);
  // Segments of queued sends, from the first unsent byte on; their sum in `total`.
  [[nodiscard]] size_t Gather(std::span<iovec> segments, uint64_t& total);
  // `count` bytes are with the kernel.
  void Advance(uint64_t count, bool at_once);
  void FailSends(int number);

  UniqueFd fd_;
  bool connecting_;
  int connect_error_ = 0;  // found before there was an id to report it under
  bool readable_;
  bool writable_;
  bool peer_closed_ =
      false;  // end of file or an error is pending behind the bytes: a short read proves nothing
  int failed_ = 0;  // errno that ended the sending direction
  PendingReceive receive_;
  GrowableRing<PendingSend> sends_{6};
  uint64_t front_sent_ = 0;  // bytes of the first queued send that are with the kernel
};

}  // namespace iserd
