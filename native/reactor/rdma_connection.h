#pragma once

#include <rdma/rdma_cma.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "reactor/completion_queue.h"
#include "reactor/object.h"
#include "reactor/rdma_device.h"
#include "reactor/socket_address.h"
#include "reactor/work_request_batch.h"

namespace iserd {

class Reactor;

struct CompletionChannelDeleter {
  void operator()(ibv_comp_channel* channel) const { ibv_destroy_comp_channel(channel); }
};
using CompletionChannel = std::unique_ptr<ibv_comp_channel, CompletionChannelDeleter>;

// An RDMA CM id with its event channel, queue pair, completion queues and completion channel.
// JavaScript thread; owned by the reactor's object table.
//
// All descriptors are watched for the connection's whole life: a peer's disconnect flushes nothing
// and shows only on the CM channel. Every work request is signalled; `wr_id` says what it was, for
// an error completion's opcode is not valid.
//
// Sends have a completion queue of their own, which is polled whenever the other one is: that a
// request has been sent is no reason to wake up, its answer is. It is armed only while a send that
// was posted before the latest message is not complete, for that message may be its answer. A
// failed send moves the queue pair to ERROR, and its receives come back.
class RdmaConnection final : public Object {
 public:
  struct QueuePairLimits {
    uint32_t send_depth;
    uint32_t receive_depth;
    uint32_t max_inline;
  };
  struct ConnectParameters {
    uint8_t responder_resources;
    uint8_t initiator_depth;
    uint8_t retry_count;
    uint8_t rnr_retry_count;
    std::span<const uint8_t> private_data;
  };

  [[nodiscard]] static Result<std::unique_ptr<RdmaConnection>> Open(ReactorContext& context);
  RdmaConnection(ReactorContext& context, EventChannel channel, rdma_cm_id* id);
  // Ends every access of the device to memory on behalf of this connection. Waits for nobody.
  ~RdmaConnection() override;

  Result<void> Attach(uint32_t id) override;
  void OnReady(Source source, uint32_t events) override;
  void Submit(const Submission& submission) override;
  void Flush() override;
  RdmaConnection* AsRdmaConnection() override { return this; }

  Result<void> ResolveAddress(const SocketAddress& address, int timeout_ms);
  // After ADDR_RESOLVED, once. Returns the protection domain's id.
  [[nodiscard]] Result<uint32_t> CreateQueuePair(Reactor& reactor, const QueuePairLimits& limits);
  Result<void> ResolveRoute(int timeout_ms);
  Result<void> Connect(const ConnectParameters& parameters);
  // Queue pair to ERROR: what is posted comes back flushed.
  Result<void> Disconnect();

  // Harvests until the queues are empty and armed as they must be, or the completion array is full.
  void PollCompletionQueues();
  void OnDeviceEvent(const DeviceEvent& event);

 private:
  void ReadCmEvents();
  void ReadCompletionEvents();
  // In the reactor's next harvest, without an event.
  void PollAgain();
  // How many completions there were; negative: a queue is broken.
  [[nodiscard]] int HarvestOnce(size_t room);
  [[nodiscard]] int HarvestSends(size_t room);
  // True when more may have come meanwhile.
  [[nodiscard]] bool ArmQueues();
  [[nodiscard]] bool SendsAwaited() const { return sends_completed_ < sends_awaited_; }
  void ReportSent(const ibv_wc& completion);
  void ReportReceived(const ibv_wc& completion);
  void ReportBrokenQueue();
  [[nodiscard]] uint64_t SendsOutstanding() const { return sends_posted_ - sends_completed_; }
  // Why the work request cannot be posted, as errno; 0: it can.
  [[nodiscard]] int Check(const Submission& submission) const;
  void RefuseWorkRequest(uint32_t kind, uint32_t tag, int number);

  EventChannel channel_;
  rdma_cm_id* id_handle_;
  std::shared_ptr<RdmaDevice> device_;
  CompletionChannel completion_channel_;
  std::unique_ptr<CompletionQueue> receive_queue_;
  std::unique_ptr<CompletionQueue> send_queue_;
  QueuePairLimits limits_{};
  // Since the queue pair was made.
  uint64_t sends_posted_ = 0;
  uint64_t sends_completed_ = 0;
  // The value of sends_posted_ when the latest message was harvested.
  uint64_t sends_awaited_ = 0;
  uint32_t receives_posted_ = 0;
  std::unique_ptr<WorkRequestBatch> batch_;
};

}  // namespace iserd
