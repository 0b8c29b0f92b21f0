#include "reactor/rdma_connection.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "reactor/reactor.h"

namespace iserd {

namespace {

constexpr size_t kPollBatch = 32;
// What the private data of a CM REQ has room for in RDMA_PS_TCP: 92 bytes less the CMA's header
// of 36.
constexpr size_t kMaximumPrivateData = 56;

Result<void> MakeNonBlocking(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return LastError("fcntl");
  return {};
}

// librdmacm answers -1 and sets errno; 0 is success.
Result<void> Outcome(int status, const char* call) {
  if (status != 0) return LastError(call);
  return {};
}

const void* Handle(const std::unique_ptr<CompletionQueue>& queue) {
  return queue == nullptr ? nullptr : queue->handle();
}

}  // namespace

Result<std::unique_ptr<RdmaConnection>> RdmaConnection::Open(ReactorContext& context) {
  EventChannel channel(rdma_create_event_channel());
  if (channel == nullptr) {
    Error error = LastError("rdma_create_event_channel");
    error.detail = "no RDMA device, or the kernel module rdma_ucm is not loaded";
    return error;
  }
  if (Result<void> set = MakeNonBlocking(channel->fd); !set.ok()) return set.error();
  rdma_cm_id* id = nullptr;
  if (rdma_create_id(channel.get(), &id, nullptr, RDMA_PS_TCP) != 0)
    return LastError("rdma_create_id");
  return std::make_unique<RdmaConnection>(context, std::move(channel), id);
}

RdmaConnection::RdmaConnection(ReactorContext& context, EventChannel channel, rdma_cm_id* id)
    : Object(context), channel_(std::move(channel)), id_handle_(id) {}

RdmaConnection::~RdmaConnection() {
  context_.epoll.Remove(channel_->fd);
  if (completion_channel_ != nullptr) context_.epoll.Remove(completion_channel_->fd);
  if (id_handle_->qp != nullptr) {
    // Tells the peer; on a connection that is down already it fails, which changes nothing.
    rdma_disconnect(id_handle_);
    rdma_destroy_qp(id_handle_);  // from here on the device touches no memory for this connection
  }
  send_queue_.reset();
  receive_queue_.reset();
  completion_channel_.reset();
  rdma_destroy_id(id_handle_);  // every CM event that was read has been acknowledged
}

Result<void> RdmaConnection::Attach(uint32_t id) {
  id_ = id;
  return context_.epoll.Add(channel_->fd, EPOLLIN, Source::kObject, id);
}

void RdmaConnection::OnReady(Source source, uint32_t) {
  if (source == Source::kCompletionChannel)
    ReadCompletionEvents();
  else
    ReadCmEvents();
}

Result<void> RdmaConnection::ResolveAddress(const SocketAddress& address, int timeout_ms) {
  SocketAddress destination = address;
  return Outcome(rdma_resolve_addr(id_handle_, nullptr, destination.get(), timeout_ms),
                 "rdma_resolve_addr");
}

Result<void> RdmaConnection::ResolveRoute(int timeout_ms) {
  return Outcome(rdma_resolve_route(id_handle_, timeout_ms), "rdma_resolve_route");
}

Result<uint32_t> RdmaConnection::CreateQueuePair(Reactor& reactor, const QueuePairLimits& limits) {
  if (id_handle_->verbs == nullptr)
    return Error{ENODEV, "rdma_create_qp", "the address is not resolved"};
  if (receive_queue_ != nullptr)
    return Error{EEXIST, "rdma_create_qp", "the connection has a queue pair"};
  if (limits.send_depth == 0 || limits.receive_depth == 0)
    return Error{EINVAL, "rdma_create_qp", "depth 0"};
  Result<std::shared_ptr<RdmaDevice>> device = reactor.DeviceOf(id_handle_);
  if (!device.ok()) return device.error();

  CompletionChannel channel(ibv_create_comp_channel(id_handle_->verbs));
  if (channel == nullptr) return LastError("ibv_create_comp_channel");
  if (Result<void> set = MakeNonBlocking(channel->fd); !set.ok()) return set.error();
  const int vector = device.value()->NextCompletionVector();
  auto receive_queue =
      CompletionQueue::Create(id_handle_->verbs, channel.get(), limits.receive_depth, vector);
  if (!receive_queue.ok()) return receive_queue.error();
  auto send_queue =
      CompletionQueue::Create(id_handle_->verbs, channel.get(), limits.send_depth, vector);
  if (!send_queue.ok()) return send_queue.error();
  // Owned from here on: the destructor takes back what follows.
  device_ = device.value();
  completion_channel_ = std::move(channel);
  receive_queue_ = std::move(receive_queue.value());
  send_queue_ = std::move(send_queue.value());

  ibv_qp_init_attr attributes{};
  attributes.qp_type = IBV_QPT_RC;
  attributes.send_cq = send_queue_->handle();
  attributes.recv_cq = receive_queue_->handle();
  attributes.sq_sig_all = 1;
  attributes.cap.max_send_wr = limits.send_depth;
  attributes.cap.max_recv_wr = limits.receive_depth;
  attributes.cap.max_send_sge = 2;
  attributes.cap.max_recv_sge = 1;
  attributes.cap.max_inline_data = limits.max_inline;
  if (rdma_create_qp(id_handle_, device_->pd(), &attributes) != 0)
    return LastVerbsError("rdma_create_qp");
  limits_ = limits;
  batch_ = std::make_unique<WorkRequestBatch>(*context_.arena, attributes.cap.max_inline_data);
  // Armed before anything can be posted: no completion goes unannounced.
  if (!receive_queue_->Arm()) return LastError("ibv_req_notify_cq");
  Result<void> added =
      context_.epoll.Add(completion_channel_->fd, EPOLLIN, Source::kCompletionChannel, id_);
  if (!added.ok()) return added.error();
  return device_->id();
}

Result<void> RdmaConnection::Connect(const ConnectParameters& parameters) {
  if (parameters.private_data.size() > kMaximumPrivateData)
    return Error{EINVAL, "rdma_connect",
                 "private data longer than " + std::to_string(kMaximumPrivateData) + " bytes"};
  rdma_conn_param request{};
  request.private_data = parameters.private_data.data();
  request.private_data_len = static_cast<uint8_t>(parameters.private_data.size());
  request.responder_resources = parameters.responder_resources;
  request.initiator_depth = parameters.initiator_depth;
  request.retry_count = parameters.retry_count;
  request.rnr_retry_count = parameters.rnr_retry_count;
  return Outcome(rdma_connect(id_handle_, &request), "rdma_connect");
}

Result<void> RdmaConnection::Disconnect() {
  if (send_queue_ != nullptr) {
    // Who disconnects waits for everything that is posted.
    sends_awaited_ = sends_posted_;
    static_cast<void>(send_queue_->Arm());
    PollAgain();
  }
  if (id_handle_->qp == nullptr || rdma_disconnect(id_handle_) == 0) return {};
  // Not connected (any more): librdmacm has moved the queue pair to ERROR all the same, which is
  // what was asked for.
  if (errno == EINVAL || errno == ENOTCONN) return {};
  return LastError("rdma_disconnect");
}

void RdmaConnection::ReadCmEvents() {
  rdma_cm_event* event = nullptr;
  // Non-blocking: ends with EAGAIN.
  while (rdma_get_cm_event(channel_.get(), &event) == 0) {
    context_.Complete({.kind = completion_kind::kCmEvent,
                       .object = id_,
                       .result = static_cast<uint32_t>(event->event),
                       .status = static_cast<uint32_t>(event->status)});
    rdma_ack_cm_event(event);  // rdma_destroy_id waits for it
  }
}

void RdmaConnection::ReadCompletionEvents() {
  ibv_cq* cq = nullptr;
  void* context = nullptr;
  while (ibv_get_cq_event(completion_channel_.get(), &cq, &context) == 0)
    (cq == send_queue_->handle() ? send_queue_ : receive_queue_)->OnEvent();
  PollCompletionQueues();
}

void RdmaConnection::PollAgain() {
  if (std::ranges::find(context_.cq_backlog, id_) == context_.cq_backlog.end())
    context_.cq_backlog.push_back(id_);
}

void RdmaConnection::PollCompletionQueues() {
  if (batch_ == nullptr) return;
  do {
    int count = 0;
    do {
      const size_t room = context_.Room();
      // To be continued: without another event if it is not armed, and cheaply if it is.
      if (room == 0) return PollAgain();
      count = HarvestOnce(room);
      if (count < 0) return ReportBrokenQueue();
    } while (count > 0);
  } while (ArmQueues());
}

int RdmaConnection::HarvestOnce(size_t room) {
  std::array<ibv_wc, kPollBatch> received;
  const int count = receive_queue_->Poll(std::span(received).first(std::min(room, kPollBatch)));
  if (count < 0) return count;
  if (count > 0) sends_awaited_ = sends_posted_;
  // Reported first, though looked for later: an answer is of use once its request has been sent.
  const int sent = HarvestSends(room - static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) ReportReceived(received[static_cast<size_t>(i)]);
  return sent < 0 ? sent : count + sent;
}

int RdmaConnection::HarvestSends(size_t room) {
  if (room == 0 || SendsOutstanding() == 0) return 0;
  std::array<ibv_wc, kPollBatch> sent;
  const int count = send_queue_->Poll(std::span(sent).first(std::min(room, kPollBatch)));
  for (int i = 0; i < count; ++i) ReportSent(sent[static_cast<size_t>(i)]);
  return count;
}

bool RdmaConnection::ArmQueues() {
  const bool arm_receives = !receive_queue_->armed();
  const bool arm_sends = SendsAwaited() && !send_queue_->armed();
  if ((arm_receives && !receive_queue_->Arm()) || (arm_sends && !send_queue_->Arm())) {
    ReportBrokenQueue();
    return false;
  }
  return arm_receives || arm_sends;
}

void RdmaConnection::ReportBrokenQueue() {
  context_.Complete(
      {.kind = completion_kind::kDeviceEvent, .object = id_, .result = IBV_EVENT_CQ_ERR});
}

void RdmaConnection::ReportSent(const ibv_wc& sent) {
  const bool awaited = SendsAwaited();
  ++sends_completed_;
  const Completion completion{.kind = completion_kind::kRdmaSend,
                              .object = id_,
                              .tag = work_request_id::Tag(sent.wr_id),
                              .status = static_cast<uint32_t>(sent.status),
                              .detail = sent.vendor_err};
  if (awaited || sent.status != IBV_WC_SUCCESS)
    context_.Complete(completion);
  else
    context_.CompleteLazily(completion);
}

void RdmaConnection::ReportReceived(const ibv_wc& received) {
  --receives_posted_;
  // With an error only wr_id, status, qp_num and vendor_err are valid: ibv_poll_cq(3). An RDMA
  // WRITE with immediate data uses up a receive, too, and leaves its buffer as it was: no bytes
  // have come.
  const bool good = received.status == IBV_WC_SUCCESS && received.opcode == IBV_WC_RECV;
  context_.Complete({.kind = completion_kind::kRdmaReceive,
                     .object = id_,
                     .tag = work_request_id::Tag(received.wr_id),
                     .result = good ? received.byte_len : 0,
                     .status = static_cast<uint32_t>(received.status),
                     .detail = received.vendor_err,
                     .detail2 = good && (received.wc_flags & IBV_WC_WITH_INV) != 0 ? 1u : 0u});
}

int RdmaConnection::Check(const Submission& submission) const {
  if (batch_ == nullptr) return ENOTCONN;
  const ArenaMapping& arena = *context_.arena;
  if (!arena.Contains(submission.offset, submission.length)) return EFAULT;
  if (submission.operation == operation::kRdmaReceive)
    return receives_posted_ >= limits_.receive_depth ? ENOBUFS : 0;
  if (!arena.Contains(submission.offset2, submission.length2)) return EFAULT;
  return SendsOutstanding() >= limits_.send_depth ? ENOBUFS : 0;
}

void RdmaConnection::Submit(const Submission& submission) {
  const uint32_t kind = completion_kind::Of(submission.operation);
  if (kind != completion_kind::kRdmaSend && kind != completion_kind::kRdmaReceive)
    return RefuseOperation(submission);
  if (const int refusal = Check(submission); refusal != 0)
    return RefuseWorkRequest(kind, submission.tag, refusal);
  if (kind == completion_kind::kRdmaSend) {
    ++sends_posted_;
    batch_->AddSend(submission);
  } else {
    ++receives_posted_;
    batch_->AddReceive(submission);
  }
  FlushLater();
  if (batch_->full()) Flush();
}

void RdmaConnection::Flush() {
  batch_->Post(id_handle_->qp, [this](uint64_t wr_id, int number) {
    const uint32_t kind = work_request_id::Kind(wr_id);
    if (kind == completion_kind::kRdmaReceive)
      --receives_posted_;
    else
      --sends_posted_;
    RefuseWorkRequest(kind, work_request_id::Tag(wr_id), number);
  });
}

void RdmaConnection::RefuseWorkRequest(uint32_t kind, uint32_t tag, int number) {
  // It never reached the device, so there is no status of its own: the nearest of the table, and
  // the errno as detail.
  const uint32_t status = number == EFAULT ? IBV_WC_LOC_PROT_ERR : IBV_WC_GENERAL_ERR;
  context_.Complete({.kind = kind,
                     .object = id_,
                     .tag = tag,
                     .status = status,
                     .detail = static_cast<uint32_t>(number)});
}

void RdmaConnection::OnDeviceEvent(const DeviceEvent& event) {
  if (device_ == nullptr || device_->verbs() != event.verbs) return;
  const std::array<const void*, 4> own{nullptr, id_handle_->qp, Handle(receive_queue_),
                                       Handle(send_queue_)};
  if (std::ranges::find(own, event.element) == own.end()) return;
  context_.Complete({.kind = completion_kind::kDeviceEvent, .object = id_, .result = event.type});
}

}  // namespace iserd
