#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <vector>

#include "error.h"
#include "reactor/arena_mapping.h"
#include "reactor/epoll_set.h"
#include "reactor/growable_ring.h"
#include "reactor/layout.h"

namespace iserd {

class RdmaConnection;

// What a reactor lends its objects. JavaScript thread; owned by the reactor, outlives every object.
struct ReactorContext {
  static constexpr size_t kManyLazy = 32;

  ReactorContext(std::shared_ptr<ArenaMapping> mapping, UniqueFd epoll_fd,
                 size_t completion_capacity)
      : arena(std::move(mapping)), epoll(std::move(epoll_fd)), capacity(completion_capacity) {}

  const std::shared_ptr<ArenaMapping> arena;
  EpollSet epoll;
  // What the completion array holds. Harvesting stops when as many wait for delivery; nothing is
  // ever dropped for it.
  const size_t capacity;
  GrowableRing<Completion> completions{10};
  // Not all that wait for delivery are lazy ones.
  bool pressing = false;
  // Ids of objects that have gathered something to be sent when the submission batch ends.
  std::vector<uint32_t> unflushed;
  // Ids of RDMA connections whose completion queue was not emptied for want of room.
  std::vector<uint32_t> cq_backlog;

  void Complete(const Completion& completion) {
    completions.Push(completion);
    pressing = true;
  }
  // For what nobody waits for: delivered together with the next other completion, when there are
  // many, or after a millisecond. It spares a call into JavaScript.
  void CompleteLazily(const Completion& completion) { completions.Push(completion); }
  [[nodiscard]] bool DeliveryDue() const {
    return !completions.empty() &&
           (pressing || completions.size() >= std::min(kManyLazy, capacity));
  }
  [[nodiscard]] size_t Room() const {
    return completions.size() >= capacity ? 0 : capacity - completions.size();
  }
};

// A thing with descriptors in the epoll set. JavaScript thread; owned by the reactor's object
// table. Destruction ends every use of arena memory on its behalf.
class Object {
 public:
  explicit Object(ReactorContext& context) : context_(context) {}
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() = default;

  // Puts the descriptors into the epoll set under the id that the table gave.
  virtual Result<void> Attach(uint32_t id) = 0;
  // A descriptor is ready; `events` are epoll's.
  virtual void OnReady(Source source, uint32_t events) = 0;
  // Takes one submission entry; failures are completions.
  virtual void Submit(const Submission& submission) = 0;
  // The submission batch has ended: send what was gathered.
  virtual void Flush() {}
  // A descriptor has become free somewhere: what failed for want of one may be tried again.
  virtual void OnDescriptorFreed() {}
  [[nodiscard]] virtual RdmaConnection* AsRdmaConnection() { return nullptr; }

  [[nodiscard]] uint32_t id() const { return id_; }

 protected:
  // Flush is called once at the end of the batch, however often this is.
  void FlushLater() {
    if (flush_requested_) return;
    flush_requested_ = true;
    context_.unflushed.push_back(id_);
  }

  // The submission names an object of another kind, or no operation at all.
  void RefuseOperation(const Submission& submission) {
    context_.Complete({.kind = completion_kind::Of(submission.operation),
                       .object = id_,
                       .tag = submission.tag,
                       .status = EOPNOTSUPP});
  }

  ReactorContext& context_;
  uint32_t id_ = 0;

 private:
  friend class Reactor;
  bool flush_requested_ = false;
};

}  // namespace iserd
