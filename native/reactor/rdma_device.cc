#include "reactor/rdma_device.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

namespace iserd {

Result<std::shared_ptr<RdmaDevice>> RdmaDevice::Open(ReactorContext& context, rdma_cm_id* id,
                                                     uint32_t device_id,
                                                     std::shared_ptr<DeviceEventMailbox> mailbox) {
  auto device = std::make_shared<RdmaDevice>(context, device_id, id->verbs, std::move(mailbox));
  if (Result<void> anchored = device->Anchor(id); !anchored.ok()) return anchored.error();
  device->pd_.reset(ibv_alloc_pd(id->verbs));
  if (device->pd_ == nullptr) return LastError("ibv_alloc_pd");
  const int fd = id->verbs->async_fd;
  if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0) return LastError("fcntl");
  if (Result<void> added = context.epoll.Add(fd, EPOLLIN, Source::kDevice, device_id); !added.ok())
    return added.error();
  DeviceEventHub::Instance().Subscribe(id->verbs, device->mailbox_);
  return device;
}

RdmaDevice::RdmaDevice(ReactorContext& context, uint32_t device_id, ibv_context* verbs,
                       std::shared_ptr<DeviceEventMailbox> mailbox)
    : context_(context), id_(device_id), verbs_(verbs), mailbox_(std::move(mailbox)) {}

RdmaDevice::~RdmaDevice() {
  DeviceEventHub::Instance().Unsubscribe(verbs_, mailbox_.get());
  context_.epoll.Remove(verbs_->async_fd);
}

Result<void> RdmaDevice::Anchor(rdma_cm_id* id) {
  sockaddr_storage address{};
  const sockaddr* local = rdma_get_local_addr(id);
  const size_t length = local->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  memcpy(&address, local, length);
  // Any free port: two ids must not share one.
  if (local->sa_family == AF_INET6)
    reinterpret_cast<sockaddr_in6*>(&address)->sin6_port = 0;
  else
    reinterpret_cast<sockaddr_in*>(&address)->sin_port = 0;
  anchor_channel_.reset(rdma_create_event_channel());
  if (anchor_channel_ == nullptr) return LastError("rdma_create_event_channel");
  rdma_cm_id* anchor = nullptr;
  if (rdma_create_id(anchor_channel_.get(), &anchor, nullptr, RDMA_PS_TCP) != 0)
    return LastError("rdma_create_id");
  anchor_.reset(anchor);
  if (rdma_bind_addr(anchor, reinterpret_cast<sockaddr*>(&address)) != 0)
    return LastError("rdma_bind_addr");
  return {};
}

Result<RdmaDevice::Limits> RdmaDevice::QueryLimits() const {
  ibv_device_attr_ex attributes{};
  if (const int status = ibv_query_device_ex(verbs_, nullptr, &attributes); status != 0)
    return Error{status, "ibv_query_device_ex"};
  constexpr uint32_t kPaged = IBV_ODP_SUPPORT_READ | IBV_ODP_SUPPORT_WRITE | IBV_ODP_SUPPORT_SEND;
  const ibv_odp_caps& odp = attributes.odp_caps;
  return Limits{.device = ibv_get_device_name(verbs_->device),
                .max_qp_read_atomic = static_cast<uint32_t>(attributes.orig_attr.max_qp_rd_atom),
                .max_qp_work_requests = static_cast<uint32_t>(attributes.orig_attr.max_qp_wr),
                .on_demand_paging = (odp.general_caps & IBV_ODP_SUPPORT) != 0 &&
                                    (odp.per_transport_caps.rc_odp_caps & kPaged) == kPaged};
}

int RdmaDevice::NextCompletionVector() {
  const int vector = next_vector_;
  next_vector_ = verbs_->num_comp_vectors > 0 ? (vector + 1) % verbs_->num_comp_vectors : 0;
  return vector;
}

}  // namespace iserd
