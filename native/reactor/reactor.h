#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "reactor/device_events.h"
#include "reactor/loop_watch.h"
#include "reactor/memory_region.h"
#include "reactor/object.h"
#include "reactor/object_table.h"
#include "reactor/rdma_device.h"

namespace iserd {

// Carries batches between JavaScript and the kernel or the RDMA device: submissions in, completions
// out, one crossing per batch. JavaScript thread; owned by the reactor binding.
//
// A wake-up is a bounded number of rounds: harvest (epoll set, completion queues), deliver what was
// harvested, carry out what the receiver submitted in return. Submissions made outside a delivery
// complete in a later turn of the loop.
class Reactor final : private LoopWatch::Listener {
 public:
  // Who takes completions. `count` entries of the completion array are filled in; submits in return
  // what it has queued.
  class Receiver {
   public:
    virtual void Deliver(uint32_t count) = 0;

   protected:
    ~Receiver() = default;
  };

  struct Options {
    std::shared_ptr<ArenaMapping> arena;
    std::span<const Submission>
        submissions;  // both arrays are the receiver's and outlive the reactor
    std::span<Completion> completions;
    const Control* control;  // the receiver's, too; changes at any time
    Receiver* receiver;
    uv_loop_t* loop;
    std::function<void()> released;  // the loop has let go of the reactor's handles
  };

  [[nodiscard]] static Result<std::unique_ptr<Reactor>> Open(Options options);
  Reactor(Options options, UniqueFd epoll_fd);
  ~Reactor() { Shutdown(); }

  // Closes everything, in the order of native/README.md, "Close order". May be called during a
  // delivery; the reactor itself may be destroyed only when the loop has released it.
  void Shutdown();
  [[nodiscard]] bool closed() const { return closed_; }

  // Carries out the first `count` submission entries.
  void Submit(uint32_t count);

  // Takes the object in, puts its descriptors into the epoll set and gives it its id.
  [[nodiscard]] Result<uint32_t> Insert(std::unique_ptr<Object> object);
  // Nothing is reported for it any more, and nobody touches memory on its behalf. An unknown id is
  // closed already.
  void CloseObject(uint32_t id);
  // Somewhere in the process a descriptor may have become free: listeners that lacked one try
  // again.
  void DescriptorFreed();
  [[nodiscard]] Object* Find(uint32_t id) const { return objects_.Find(id); }
  [[nodiscard]] size_t open_objects() const { return objects_.size(); }
  [[nodiscard]] ReactorContext& context() { return context_; }

  // The device of a connection whose address is resolved; shared by all its connections and memory
  // regions.
  [[nodiscard]] Result<std::shared_ptr<RdmaDevice>> DeviceOf(rdma_cm_id* id);
  // By protection domain id; null when nothing uses it any more.
  [[nodiscard]] std::shared_ptr<RdmaDevice> FindDevice(uint32_t id) const;

  [[nodiscard]] Result<uint32_t> InsertRegion(std::unique_ptr<MemoryRegion> region);
  [[nodiscard]] MemoryRegion* FindRegion(uint32_t id) const { return regions_.Find(id); }
  Result<void> DeregisterRegion(uint32_t id);

 private:
  static constexpr int kMaximumRounds = 16;
  static constexpr size_t kEventBatch = 64;

  void OnLoopTurn() override;
  void OnDelayOver() override;
  void Harvest();
  // `found` descriptors are ready and can wait: leaves the CPU to those who make more of them
  // ready. All that are ready then.
  [[nodiscard]] std::span<epoll_event> Gather(size_t found);
  // Polls until something completes or the spin budget is used up. Whether something did.
  [[nodiscard]] bool Spin();
  void PollCompletionQueues();
  void Deliver();
  void FlushObjects();
  // Forgets what waits for delivery on behalf of an object that is closed.
  void DropCompletions(uint32_t id);
  void OnMailbox();
  // When something waits for delivery and no delivery is under way: ask for a turn, now or later.
  void ArrangeDelivery();

  const Options options_;
  ReactorContext context_;
  std::array<epoll_event, kEventBatch> events_{};
  std::vector<uint32_t> cq_turn_;
  bool in_turn_ = false;
  bool closed_ = false;
  // Spinning pays only while it finds something: after a fruitless spin so many wake-ups go
  // without.
  uint32_t spins_to_skip_ = 0;
  uint32_t spin_penalty_ = 0;

  std::shared_ptr<DeviceEventMailbox> mailbox_;
  std::vector<std::weak_ptr<RdmaDevice>> devices_;
  uint32_t next_device_id_ = 1;
  ObjectTable<MemoryRegion, 20> regions_;
  ObjectTable<Object, 16> objects_;
  LoopWatch::Owner watch_;
};

}  // namespace iserd
