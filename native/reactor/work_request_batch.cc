#include "reactor/work_request_batch.h"

namespace iserd {

WorkRequestBatch::WorkRequestBatch(const ArenaMapping& arena, uint32_t max_inline)
    : arena_(arena), max_inline_(max_inline) {}

ibv_sge WorkRequestBatch::Segment(uint32_t offset, uint32_t length, uint32_t key) const {
  return {
      .addr = reinterpret_cast<uintptr_t>(arena_.base() + offset), .length = length, .lkey = key};
}

void WorkRequestBatch::AddSend(const Submission& submission) {
  const size_t i = sends_++;
  send_segments_[i] = {Segment(submission.offset, submission.length, submission.key),
                       Segment(submission.offset2, submission.length2, submission.key2)};
  ibv_send_wr& request = send_requests_[i];
  request.wr_id = work_request_id::Make(completion_kind::kRdmaSend, submission.tag);
  request.next =
      i + 1 < kLength ? &send_requests_[i + 1] : nullptr;  // Post ends the chain where it ends
  request.sg_list = send_segments_[i].data();
  request.num_sge = submission.length2 > 0 ? 2 : 1;
  request.opcode = IBV_WR_SEND;
  request.send_flags = IBV_SEND_SIGNALED;
  const bool fits = uint64_t{submission.length} + submission.length2 <= max_inline_;
  if (fits && (submission.flags & submission_flag::kInline) != 0)
    request.send_flags |= IBV_SEND_INLINE;
}

void WorkRequestBatch::AddReceive(const Submission& submission) {
  const size_t i = receives_++;
  receive_segments_[i] = Segment(submission.offset, submission.length, submission.key);
  ibv_recv_wr& request = receive_requests_[i];
  request.wr_id = work_request_id::Make(completion_kind::kRdmaReceive, submission.tag);
  request.next = i + 1 < kLength ? &receive_requests_[i + 1] : nullptr;
  request.sg_list = &receive_segments_[i];
  request.num_sge = 1;
}

}  // namespace iserd
