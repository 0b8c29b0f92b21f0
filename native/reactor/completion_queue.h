#pragma once

#include <infiniband/verbs.h>

#include <cstdint>
#include <memory>
#include <span>

#include "error.h"

namespace iserd {

// A completion queue that announces its next completion through a completion channel when it is
// armed, and only then. JavaScript thread; owned by an RDMA connection, outlives its queue pair and
// not its channel.
class CompletionQueue {
 public:
  // `depth`: completions that can be outstanding, so that the queue cannot overflow.
  [[nodiscard]] static Result<std::unique_ptr<CompletionQueue>> Create(ibv_context* verbs,
                                                                       ibv_comp_channel* channel,
                                                                       uint32_t depth, int vector);
  explicit CompletionQueue(ibv_cq* queue) : queue_(queue) {}
  CompletionQueue(const CompletionQueue&) = delete;
  CompletionQueue& operator=(const CompletionQueue&) = delete;
  ~CompletionQueue();

  [[nodiscard]] ibv_cq* handle() const { return queue_; }
  // How many were harvested; negative: the queue is broken.
  [[nodiscard]] int Poll(std::span<ibv_wc> completions);
  // What came before makes no event: who arms polls once more. False: the queue is broken.
  [[nodiscard]] bool Arm();
  [[nodiscard]] bool armed() const { return armed_; }
  // An event of it was read from the channel.
  void OnEvent();

 private:
  ibv_cq* const queue_;
  bool armed_ = false;
  // Events read; acknowledged in batches, for each costs a lock.
  unsigned unacknowledged_ = 0;
};

}  // namespace iserd
