#pragma once

#include <rdma/rdma_cma.h>

#include <memory>
#include <string>

#include "reactor/device_events.h"
#include "reactor/object.h"

namespace iserd {

struct EventChannelDeleter {
  void operator()(rdma_event_channel* channel) const { rdma_destroy_event_channel(channel); }
};
using EventChannel = std::unique_ptr<rdma_event_channel, EventChannelDeleter>;

struct CmIdDeleter {
  void operator()(rdma_cm_id* id) const { rdma_destroy_id(id); }
};
using CmId = std::unique_ptr<rdma_cm_id, CmIdDeleter>;

struct ProtectionDomainDeleter {
  void operator()(ibv_pd* pd) const { ibv_dealloc_pd(pd); }
};
using ProtectionDomain = std::unique_ptr<ibv_pd, ProtectionDomainDeleter>;

// The error of a verbs call that has just failed. Verbs pin what they give to the device: when that
// is too much, the detail says which limit it was and how to raise it.
[[nodiscard]] Error LastVerbsError(const char* syscall);

// What the device has not that registrations with on-demand paging need; empty: nothing.
[[nodiscard]] std::string LackingForPaging(const ibv_device_attr_ex& attributes);

// One reactor's share of a verbs device: the protection domain, and the device's asynchronous
// events in the epoll set. JavaScript thread; shared by the reactor's connections and memory
// regions on the device, gone with the last of them.
class RdmaDevice {
 public:
  struct Limits {
    std::string device;
    uint32_t max_qp_read_atomic;  // RDMA READs one QP may have to serve at a time
    uint32_t max_qp_work_requests;
    bool on_demand_paging;
  };

  // `id` is bound to the device (its address is resolved).
  [[nodiscard]] static Result<std::shared_ptr<RdmaDevice>> Open(
      ReactorContext& context, rdma_cm_id* id, uint32_t device_id,
      std::shared_ptr<DeviceEventMailbox> mailbox);
  RdmaDevice(ReactorContext& context, uint32_t device_id, ibv_context* verbs,
             std::shared_ptr<DeviceEventMailbox> mailbox);
  RdmaDevice(const RdmaDevice&) = delete;
  RdmaDevice& operator=(const RdmaDevice&) = delete;
  ~RdmaDevice();

  // Names the protection domain to TypeScript.
  [[nodiscard]] uint32_t id() const { return id_; }
  [[nodiscard]] ibv_context* verbs() const { return verbs_; }
  [[nodiscard]] ibv_pd* pd() const { return pd_.get(); }
  [[nodiscard]] Result<Limits> QueryLimits() const;
  // EOPNOTSUPP, with what the device lacks for request memory to be paged in on demand.
  [[nodiscard]] Result<void> CheckOnDemandPaging() const;
  void ReadEvents();
  // Spreads completion queues over the device's interrupt vectors.
  [[nodiscard]] int NextCompletionVector();

 private:
  [[nodiscard]] Result<void> Anchor(rdma_cm_id* id);
  [[nodiscard]] Result<ibv_device_attr_ex> QueryAttributes() const;
  void WatchNode();
  void LetGo();

  ReactorContext& context_;
  const uint32_t id_;
  ibv_context* const verbs_;  // librdmacm's, one per device and process
  std::shared_ptr<DeviceEventMailbox> mailbox_;
  int next_vector_ = 0;
  // Not every driver says that a device is being removed (rxe does not): its node vanishes.
  std::string node_;
  UniqueFd node_watch_;
  // librdmacm closes a device that was removed once no id is bound to it. This one keeps it until
  // the protection domain, which memory regions may keep longer than any connection, is gone.
  EventChannel anchor_channel_;
  CmId anchor_;
  ProtectionDomain pd_;
};

}  // namespace iserd
