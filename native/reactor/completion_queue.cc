#include "reactor/completion_queue.h"

#include <climits>
#include <string>

#include "reactor/rdma_device.h"

namespace iserd {

namespace {

constexpr unsigned kAcknowledgeBatch = 64;

}  // namespace

Result<std::unique_ptr<CompletionQueue>> CompletionQueue::Create(ibv_context* verbs,
                                                                 ibv_comp_channel* channel,
                                                                 uint32_t depth, int vector) {
  if (depth > INT_MAX) return Error{EINVAL, "ibv_create_cq", "depth " + std::to_string(depth)};
  ibv_cq* queue = ibv_create_cq(verbs, static_cast<int>(depth), nullptr, channel, vector);
  if (queue == nullptr) return LastVerbsError("ibv_create_cq");
  return std::make_unique<CompletionQueue>(queue);
}

CompletionQueue::~CompletionQueue() {
  ibv_ack_cq_events(queue_, unacknowledged_);  // ibv_destroy_cq waits for them
  ibv_destroy_cq(queue_);
}

int CompletionQueue::Poll(std::span<ibv_wc> completions) {
  return ibv_poll_cq(queue_, static_cast<int>(completions.size()), completions.data());
}

bool CompletionQueue::Arm() {
  armed_ = armed_ || ibv_req_notify_cq(queue_, 0) == 0;
  return armed_;
}

void CompletionQueue::OnEvent() {
  armed_ = false;
  if (++unacknowledged_ < kAcknowledgeBatch) return;
  ibv_ack_cq_events(queue_, unacknowledged_);
  unacknowledged_ = 0;
}

}  // namespace iserd
