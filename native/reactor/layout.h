#pragma once

#include <cstdint>

namespace iserd {

// The entries of the submission and completion arrays, and the control words. src/reactor/layout.ts
// holds the same numbers and says what they mean; a unit test compares both sides through layout().
struct Submission {
  uint32_t operation;
  uint32_t object;
  uint32_t tag;
  uint32_t offset;
  uint32_t length;
  uint32_t key;
  uint32_t offset2;
  uint32_t length2;
  uint32_t key2;
  uint32_t flags;
  uint32_t minimum_length;
  uint32_t reserved;
};
inline constexpr uint32_t kSubmissionWords = 12;
static_assert(sizeof(Submission) == kSubmissionWords * sizeof(uint32_t));

struct Completion {
  uint32_t kind;
  uint32_t object;
  uint32_t tag;
  uint32_t result;
  uint32_t status;
  uint32_t detail;
  uint32_t detail2;
  uint32_t reserved;
};
inline constexpr uint32_t kCompletionWords = 8;
static_assert(sizeof(Completion) == kCompletionWords * sizeof(uint32_t));

// What JavaScript changes without a call.
struct Control {
  uint32_t gather_microseconds;
  uint32_t spin_microseconds;
};
inline constexpr uint32_t kControlWords = 2;
static_assert(sizeof(Control) == kControlWords * sizeof(uint32_t));

namespace operation {
inline constexpr uint32_t kReceive = 1;
inline constexpr uint32_t kSend = 2;
inline constexpr uint32_t kRdmaSend = 3;
inline constexpr uint32_t kRdmaReceive = 4;
inline constexpr uint32_t kCancelReceive = 5;
}  // namespace operation

namespace submission_flag {
inline constexpr uint32_t kNotify = 1;
inline constexpr uint32_t kInline = 2;
}  // namespace submission_flag

namespace completion_kind {
inline constexpr uint32_t kReceive = 1;
inline constexpr uint32_t kSend = 2;
inline constexpr uint32_t kAccept = 3;
inline constexpr uint32_t kConnect = 4;
inline constexpr uint32_t kRdmaSend = 5;
inline constexpr uint32_t kRdmaReceive = 6;
inline constexpr uint32_t kCmEvent = 7;
inline constexpr uint32_t kDeviceEvent = 8;

// The kind with which an operation completes; 0 for what is no operation.
[[nodiscard]] constexpr uint32_t Of(uint32_t submitted) {
  switch (submitted) {
    case operation::kReceive:
      return kReceive;
    case operation::kSend:
      return kSend;
    case operation::kRdmaSend:
      return kRdmaSend;
    case operation::kRdmaReceive:
      return kRdmaReceive;
    default:
      return 0;
  }
}
}  // namespace completion_kind

namespace registration_access {
inline constexpr uint32_t kLocalWrite = 1;
inline constexpr uint32_t kRemoteRead = 2;
inline constexpr uint32_t kRemoteWrite = 4;
// On-demand paging; needs a device with onDemandPaging.
inline constexpr uint32_t kOnDemand = 8;
}  // namespace registration_access

// `result` of an accept that failed: -1 as a two's complement int32.
inline constexpr uint32_t kNoDescriptor = 0xffffffff;

// Stream status that is not an errno: the peer closed its end.
inline constexpr uint32_t kEndOfFile = 0xffffffff;

}  // namespace iserd
