#pragma once

#include <infiniband/verbs.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "reactor/arena_mapping.h"
#include "reactor/layout.h"

namespace iserd {

// `wr_id` of every work request: the completion kind above, the submission's tag below.
namespace work_request_id {
[[nodiscard]] constexpr uint64_t Make(uint32_t kind, uint32_t tag) {
  return uint64_t{kind} << 32 | tag;
}
[[nodiscard]] constexpr uint32_t Kind(uint64_t id) { return static_cast<uint32_t>(id >> 32); }
[[nodiscard]] constexpr uint32_t Tag(uint64_t id) { return static_cast<uint32_t>(id); }
}  // namespace work_request_id

// Work requests of one queue pair, gathered during a submission batch and posted as one chain: one
// doorbell, and for a software device one system call. JavaScript thread; owned by its connection.
// Never moved: the chain points into it.
class WorkRequestBatch {
 public:
  WorkRequestBatch(const ArenaMapping& arena, uint32_t max_inline);
  WorkRequestBatch(const WorkRequestBatch&) = delete;
  WorkRequestBatch& operator=(const WorkRequestBatch&) = delete;

  [[nodiscard]] bool full() const { return sends_ == kLength || receives_ == kLength; }
  // Ranges must be inside the arena; not when full.
  void AddSend(const Submission& submission);
  void AddReceive(const Submission& submission);

  // Posts everything, receives first: a peer may answer a send at once. `refused(wr_id, errno)` is
  // called for each work request that the provider did not take.
  template <class Refused>
  void Post(ibv_qp* qp, Refused refused) {
    if (receives_ > 0) {
      receive_requests_[receives_ - 1].next = nullptr;
      ibv_recv_wr* bad = nullptr;
      const int status = ibv_post_recv(qp, receive_requests_.data(), &bad);
      RefuseFrom(receive_requests_, receives_, bad, status, refused);
      receives_ = 0;
    }
    if (sends_ > 0) {
      send_requests_[sends_ - 1].next = nullptr;
      ibv_send_wr* bad = nullptr;
      const int status = ibv_post_send(qp, send_requests_.data(), &bad);
      RefuseFrom(send_requests_, sends_, bad, status, refused);
      sends_ = 0;
    }
  }

 private:
  static constexpr size_t kLength = 32;

  template <class Requests, class Request, class Refused>
  static void RefuseFrom(const Requests& requests, size_t count, const Request* bad, int status,
                         Refused refused) {
    if (status == 0) return;
    const size_t first = bad == nullptr ? 0 : static_cast<size_t>(bad - requests.data());
    // Some providers answer -1 and set nothing but errno; any other number is the errno itself:
    // ibv_post_send(3).
    const int number = status > 0 ? status : EIO;
    for (size_t i = first; i < count; ++i) refused(requests[i].wr_id, number);
  }

  [[nodiscard]] ibv_sge Segment(uint32_t offset, uint32_t length, uint32_t key) const;

  const ArenaMapping& arena_;
  const uint32_t max_inline_;
  size_t sends_ = 0;
  size_t receives_ = 0;
  std::array<ibv_send_wr, kLength> send_requests_{};
  std::array<std::array<ibv_sge, 2>, kLength> send_segments_{};
  std::array<ibv_recv_wr, kLength> receive_requests_{};
  std::array<ibv_sge, kLength> receive_segments_{};
};

}  // namespace iserd
