#include "reactor/rdma_device.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace iserd {

namespace {

constexpr const char* kNodeDirectory = "/dev/infiniband";
constexpr const char* kQueryDevice = "ibv_query_device_ex";

struct PagedOperation {
  uint32_t capability;
  const char* name;
};

// What meets request memory: the target reads and writes it, and immediate data is sent from there.
// Receives and headers have pinned memory of their own.
constexpr std::array<PagedOperation, 3> kPagedOperations{{{IBV_ODP_SUPPORT_READ, "RDMA READ"},
                                                          {IBV_ODP_SUPPORT_WRITE, "RDMA WRITE"},
                                                          {IBV_ODP_SUPPORT_SEND, "SEND"}}};

// rxe, which reports all of it since Linux 6.15, but copies each packet to or from the beginning of
// its page, wherever in the page it belongs (seen with 7.3): data would be lost silently.
constexpr uint32_t kSoftRoceVendor = 0xffffff;

}  // namespace

std::string LackingForPaging(const ibv_device_attr_ex& attributes) {
  const ibv_odp_caps& odp = attributes.odp_caps;
  if ((odp.general_caps & IBV_ODP_SUPPORT) == 0) return "on-demand paging";
  if (attributes.orig_attr.vendor_id == kSoftRoceVendor)
    return "on-demand paging that keeps data in its place: soft-RoCE does not";
  std::string operations;
  for (const PagedOperation& operation : kPagedOperations) {
    if ((odp.per_transport_caps.rc_odp_caps & operation.capability) != 0) continue;
    operations += (operations.empty() ? "" : ", ") + std::string(operation.name);
  }
  return operations.empty() ? "" : "on-demand paging of reliable connections for " + operations;
}

Error LastVerbsError(const char* syscall) {
  Error error = LastError(syscall);
  rlimit limit{};
  if (error.number != ENOMEM || getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return error;
  if (limit.rlim_cur == RLIM_INFINITY) return error;
  error.detail = "RLIMIT_MEMLOCK allows " + std::to_string(limit.rlim_cur / 1024) +
                 " KiB of pinned memory: raise it (LimitMEMLOCK=infinity in the service, " +
                 "ulimit -l, or the capability CAP_IPC_LOCK)";
  return error;
}

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
  device->WatchNode();
  DeviceEventHub::Instance().Subscribe(id->verbs, device->mailbox_);
  return device;
}

RdmaDevice::RdmaDevice(ReactorContext& context, uint32_t device_id, ibv_context* verbs,
                       std::shared_ptr<DeviceEventMailbox> mailbox)
    : context_(context), id_(device_id), verbs_(verbs), mailbox_(std::move(mailbox)) {}

RdmaDevice::~RdmaDevice() {
  context_.epoll.Remove(verbs_->async_fd);
  if (node_watch_.get() >= 0) context_.epoll.Remove(node_watch_.get());
  pd_.reset();
  if (DeviceEventHub::Instance().Unsubscribe(verbs_, mailbox_.get())) LetGo();
}

void RdmaDevice::ReadEvents() {
  DeviceEventHub::Instance().ReadEvents(verbs_);
  if (node_watch_.get() < 0) return;
  alignas(inotify_event) std::array<char, 4096> changes;
  bool changed = false;
  while (read(node_watch_.get(), changes.data(), changes.size()) > 0) changed = true;
  if (changed && access(node_.c_str(), F_OK) != 0) DeviceEventHub::Instance().OnRemoved(verbs_);
}

// Without a watch the removal of a device that does not announce it waits for the end of the
// process: nothing to refuse service for.
void RdmaDevice::WatchNode() {
  node_ = std::string(kNodeDirectory) + "/" + verbs_->device->dev_name;
  UniqueFd watch(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (watch.get() < 0 || inotify_add_watch(watch.get(), kNodeDirectory, IN_DELETE) < 0) return;
  if (context_.epoll.Add(watch.get(), EPOLLIN, Source::kDevice, id_).ok())
    node_watch_ = std::move(watch);
}

// librdmacm keeps a device open, also when it has no id on it any more, and some drivers let the
// kernel wait for that before it takes the device away. Closing what is librdmacm's would have it
// closed twice; so its descriptors become ones of something else. The kernel frees the rest of what
// they stood for.
void RdmaDevice::LetGo() {
  const UniqueFd nothing(open("/dev/null", O_RDWR | O_CLOEXEC));
  if (nothing.get() < 0) return;
  for (const int fd : {verbs_->async_fd, verbs_->cmd_fd})
    static_cast<void>(dup3(nothing.get(), fd, O_CLOEXEC));
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

Result<ibv_device_attr_ex> RdmaDevice::QueryAttributes() const {
  ibv_device_attr_ex attributes{};
  if (const int status = ibv_query_device_ex(verbs_, nullptr, &attributes); status != 0)
    return Error{status, kQueryDevice};
  return attributes;
}

Result<RdmaDevice::Limits> RdmaDevice::QueryLimits() const {
  Result<ibv_device_attr_ex> attributes = QueryAttributes();
  if (!attributes.ok()) return attributes.error();
  const ibv_device_attr& ordinary = attributes.value().orig_attr;
  return Limits{.device = ibv_get_device_name(verbs_->device),
                .max_qp_read_atomic = static_cast<uint32_t>(ordinary.max_qp_rd_atom),
                .max_qp_work_requests = static_cast<uint32_t>(ordinary.max_qp_wr),
                .on_demand_paging = LackingForPaging(attributes.value()).empty()};
}

Result<void> RdmaDevice::CheckOnDemandPaging() const {
  Result<ibv_device_attr_ex> attributes = QueryAttributes();
  if (!attributes.ok()) return attributes.error();
  const std::string lacking = LackingForPaging(attributes.value());
  if (lacking.empty()) return {};
  return Error{
      EOPNOTSUPP, kQueryDevice,
      std::string("the device ") + ibv_get_device_name(verbs_->device) + " lacks " + lacking};
}

int RdmaDevice::NextCompletionVector() {
  const int vector = next_vector_;
  next_vector_ = verbs_->num_comp_vectors > 0 ? (vector + 1) % verbs_->num_comp_vectors : 0;
  return vector;
}

}  // namespace iserd
