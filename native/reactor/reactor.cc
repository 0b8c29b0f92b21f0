#include "reactor/reactor.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "reactor/rdma_connection.h"

namespace iserd {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kMaximumSpinPenalty = 64;

}  // namespace

Result<std::unique_ptr<Reactor>> Reactor::Open(Options options) {
  Result<UniqueFd> epoll_fd = EpollSet::Open();
  if (!epoll_fd.ok()) return epoll_fd.error();
  auto reactor = std::make_unique<Reactor>(std::move(options), std::move(epoll_fd.value()));
  Reactor* self = reactor.get();
  Result<LoopWatch::Owner> watch = LoopWatch::Open(self->options_.loop, self->context_.epoll.fd(),
                                                   self, self->options_.released);
  if (!watch.ok()) return watch.error();
  self->watch_ = std::move(watch.value());
  self->watch_->KeepLoopAlive(false);
  return reactor;
}

Reactor::Reactor(Options options, UniqueFd epoll_fd)
    : options_(std::move(options)),
      context_(options_.arena, std::move(epoll_fd), options_.completions.size()) {
  ++context_.arena->reactors;
}

void Reactor::Shutdown() {
  if (std::exchange(closed_, true)) return;
  watch_.reset();
  // Queue pairs go before the regions they use; the last region or connection takes its device's
  // protection domain along.
  while (const uint32_t id = objects_.Last()) static_cast<void>(objects_.Remove(id));
  while (!context_.completions.empty()) DropCompletions(context_.completions.front().object);
  while (const uint32_t id = regions_.Last()) static_cast<void>(regions_.Remove(id));
  if (mailbox_ != nullptr) context_.epoll.Remove(mailbox_->fd());
  --context_.arena->reactors;
}

Result<uint32_t> Reactor::Insert(std::unique_ptr<Object> object) {
  Object* inserted = object.get();
  const uint32_t id = objects_.Insert(std::move(object));
  if (id == 0) return Error{ENFILE, "open", "65536 objects are open"};
  if (Result<void> attached = inserted->Attach(id); !attached.ok()) {
    static_cast<void>(objects_.Remove(id));
    return attached.error();
  }
  watch_->KeepLoopAlive(true);
  ArrangeDelivery();
  return id;
}

void Reactor::CloseObject(uint32_t id) {
  if (objects_.Remove(id) == nullptr) return;
  DropCompletions(id);
  DescriptorFreed();
  if (objects_.size() == 0) watch_->KeepLoopAlive(false);
}

void Reactor::DescriptorFreed() {
  objects_.ForEach([](Object& object) { object.OnDescriptorFreed(); });
}

void Reactor::DropCompletions(uint32_t id) {
  context_.completions.RemoveIf([id](const Completion& completion) {
    if (completion.object != id) return false;
    // An accepted descriptor that nobody will hear of.
    if (completion.kind == completion_kind::kAccept && completion.status == 0)
      close(static_cast<int>(completion.result));
    return true;
  });
}

void Reactor::OnLoopTurn() {
  in_turn_ = true;
  bool found_by_spinning = false;
  for (int round = 0; round < kMaximumRounds; ++round) {
    if (round == 0 || !context_.DeliveryDue()) Harvest();
    found_by_spinning = !context_.DeliveryDue() && Spin();
    if (!context_.DeliveryDue()) break;
    Deliver();
    if (closed_) return;
  }
  in_turn_ = false;
  // After timers have had their turn it goes on spinning.
  if (found_by_spinning) watch_->WakeSoon();
  ArrangeDelivery();
}

void Reactor::OnDelayOver() {
  if (context_.completions.empty()) return;
  context_.pressing = true;
  OnLoopTurn();
}

void Reactor::Harvest() {
  cq_turn_.swap(context_.cq_backlog);
  for (const uint32_t id : cq_turn_) {
    Object* object = objects_.Find(id);
    if (object != nullptr) object->AsRdmaConnection()->PollCompletionQueues();
  }
  cq_turn_.clear();
  if (context_.Room() == 0) return;
  std::span<epoll_event> ready = context_.epoll.Poll(events_);
  if (!ready.empty() && options_.control->gather_microseconds > 0) ready = Gather(ready.size());
  for (const epoll_event& event : ready) {
    const uint32_t id = EpollSet::IdOf(event);
    switch (const Source source = EpollSet::SourceOf(event); source) {
      case Source::kObject:
      case Source::kCompletionChannel:
        if (Object* object = objects_.Find(id); object != nullptr)
          object->OnReady(source, event.events);
        break;
      case Source::kDevice:
        if (const auto device = FindDevice(id); device != nullptr) device->ReadEvents();
        break;
      case Source::kMailbox:
        OnMailbox();
        break;
    }
  }
}

std::span<epoll_event> Reactor::Gather(size_t found) {
  const auto deadline =
      Clock::now() + std::chrono::microseconds(options_.control->gather_microseconds);
  do {
    sched_yield();
  } while (Clock::now() < deadline);
  const std::span<epoll_event> all(events_);
  return all.first(found + context_.epoll.Poll(all.subspan(found)).size());
}

bool Reactor::Spin() {
  const uint32_t budget = options_.control->spin_microseconds;
  if (budget == 0 || objects_.size() == 0) return false;
  if (spins_to_skip_ > 0) {
    --spins_to_skip_;
    return false;
  }
  const auto deadline = Clock::now() + std::chrono::microseconds(budget);
  do {
    PollCompletionQueues();
    if (!context_.DeliveryDue()) Harvest();
    if (context_.DeliveryDue()) {
      spin_penalty_ = 0;
      return true;
    }
    // Whoever is to answer may be waiting for this very CPU.
    sched_yield();
  } while (Clock::now() < deadline);
  spin_penalty_ = std::min(spin_penalty_ * 2 + 1, kMaximumSpinPenalty);
  spins_to_skip_ = spin_penalty_;
  return false;
}

void Reactor::PollCompletionQueues() {
  objects_.ForEach([](Object& object) {
    if (RdmaConnection* connection = object.AsRdmaConnection(); connection != nullptr)
      connection->PollCompletionQueues();
  });
}

void Reactor::Deliver() {
  const size_t count = std::min(context_.completions.size(), options_.completions.size());
  for (size_t i = 0; i < count; ++i) {
    options_.completions[i] = context_.completions.front();
    context_.completions.Pop();
  }
  context_.pressing = !context_.completions.empty();
  options_.receiver->Deliver(static_cast<uint32_t>(count));
}

void Reactor::Submit(uint32_t count) {
  const size_t limit = std::min<size_t>(count, options_.submissions.size());
  for (const Submission& submission : options_.submissions.first(limit)) {
    Object* object = objects_.Find(submission.object);
    // Closed since it was queued: nothing is reported for it.
    if (object != nullptr) object->Submit(submission);
  }
  FlushObjects();
  ArrangeDelivery();
}

void Reactor::FlushObjects() {
  for (const uint32_t id : context_.unflushed) {
    Object* object = objects_.Find(id);
    if (object == nullptr) continue;
    object->flush_requested_ = false;
    object->Flush();
  }
  context_.unflushed.clear();
}

void Reactor::ArrangeDelivery() {
  if (in_turn_) return;
  if (context_.DeliveryDue() || !context_.cq_backlog.empty())
    watch_->WakeSoon();
  else if (!context_.completions.empty())
    watch_->WakeLater();
}

Result<std::shared_ptr<RdmaDevice>> Reactor::DeviceOf(rdma_cm_id* id) {
  for (const auto& known : devices_) {
    auto device = known.lock();
    if (device != nullptr && device->verbs() == id->verbs) return device;
  }
  if (mailbox_ == nullptr) {
    Result<std::shared_ptr<DeviceEventMailbox>> mailbox = DeviceEventMailbox::Open();
    if (!mailbox.ok()) return mailbox.error();
    Result<void> added = context_.epoll.Add(mailbox.value()->fd(), EPOLLIN, Source::kMailbox, 0);
    if (!added.ok()) return added.error();
    mailbox_ = std::move(mailbox.value());
  }
  auto opened = RdmaDevice::Open(context_, id, next_device_id_, mailbox_);
  if (!opened.ok()) return opened.error();
  ++next_device_id_;
  std::erase_if(devices_, [](const auto& known) { return known.expired(); });
  devices_.push_back(opened.value());
  return std::move(opened.value());
}

std::shared_ptr<RdmaDevice> Reactor::FindDevice(uint32_t id) const {
  for (const auto& known : devices_) {
    auto device = known.lock();
    if (device != nullptr && device->id() == id) return device;
  }
  return nullptr;
}

void Reactor::OnMailbox() {
  for (const DeviceEvent& event : mailbox_->Drain()) {
    objects_.ForEach([&event](Object& object) {
      if (RdmaConnection* connection = object.AsRdmaConnection(); connection != nullptr)
        connection->OnDeviceEvent(event);
    });
  }
}

Result<uint32_t> Reactor::InsertRegion(std::unique_ptr<MemoryRegion> region) {
  const uint32_t id = regions_.Insert(std::move(region));
  if (id == 0) return Error{ENOMEM, "ibv_reg_mr", "the table of memory regions is full"};
  return id;
}

Result<void> Reactor::DeregisterRegion(uint32_t id) {
  MemoryRegion* region = regions_.Find(id);
  if (region == nullptr) return Error{EINVAL, "ibv_dereg_mr", "no such memory region"};
  Result<void> result = region->Deregister();
  if (result.ok()) static_cast<void>(regions_.Remove(id));
  return result;
}

}  // namespace iserd
