#include "reactor/device_events.h"

#include <sys/eventfd.h>

#include <algorithm>

namespace iserd {

Result<std::shared_ptr<DeviceEventMailbox>> DeviceEventMailbox::Open() {
  UniqueFd fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (fd.get() < 0) return LastError("eventfd");
  return std::make_shared<DeviceEventMailbox>(std::move(fd));
}

void DeviceEventMailbox::Post(const DeviceEvent& event) {
  {
    const std::scoped_lock lock(mutex_);
    events_.push_back(event);
  }
  // Can fail only when the counter is full, and then the descriptor is readable anyway.
  static_cast<void>(eventfd_write(fd_.get(), 1));
}

std::vector<DeviceEvent> DeviceEventMailbox::Drain() {
  eventfd_t count = 0;
  static_cast<void>(eventfd_read(fd_.get(), &count));
  const std::scoped_lock lock(mutex_);
  return std::exchange(events_, {});
}

DeviceEventHub& DeviceEventHub::Instance() {
  static auto* const hub =
      new DeviceEventHub;  // never destroyed: threads may outlive static destruction
  return *hub;
}

void DeviceEventHub::Subscribe(const ibv_context* verbs,
                               std::shared_ptr<DeviceEventMailbox> mailbox) {
  const std::scoped_lock lock(mutex_);
  subscriptions_.push_back({verbs, std::move(mailbox)});
}

bool DeviceEventHub::Unsubscribe(const ibv_context* verbs, const DeviceEventMailbox* mailbox) {
  const std::scoped_lock lock(mutex_);
  const size_t left = std::erase_if(subscriptions_, [=](const Subscription& subscription) {
    return subscription.verbs == verbs && subscription.mailbox.get() == mailbox;
  });
  const bool used = std::ranges::any_of(subscriptions_, [=](const Subscription& subscription) {
    return subscription.verbs == verbs;
  });
  return left > 0 && !used && std::erase(removed_, verbs) > 0;
}

void DeviceEventHub::OnRemoved(const ibv_context* verbs) {
  {
    const std::scoped_lock lock(mutex_);
    if (std::ranges::find(removed_, verbs) == removed_.end()) removed_.push_back(verbs);
  }
  Publish({verbs, nullptr, IBV_EVENT_DEVICE_FATAL});
}

void DeviceEventHub::ReadEvents(ibv_context* verbs) {
  ibv_async_event event{};
  while (ibv_get_async_event(verbs, &event) == 0) {
    const void* element = nullptr;
    switch (event.event_type) {
      case IBV_EVENT_CQ_ERR:
        element = event.element.cq;
        break;
      case IBV_EVENT_QP_FATAL:
      case IBV_EVENT_QP_REQ_ERR:
      case IBV_EVENT_QP_ACCESS_ERR:
      case IBV_EVENT_COMM_EST:
      case IBV_EVENT_SQ_DRAINED:
      case IBV_EVENT_PATH_MIG:
      case IBV_EVENT_PATH_MIG_ERR:
      case IBV_EVENT_QP_LAST_WQE_REACHED:
        element = event.element.qp;
        break;
      default:
        break;
    }
    Publish({verbs, element, static_cast<uint32_t>(event.event_type)});
    // Whoever destroys the queue pair waits for this.
    ibv_ack_async_event(&event);
  }
}

void DeviceEventHub::Publish(const DeviceEvent& event) {
  const std::scoped_lock lock(mutex_);
  for (const Subscription& subscription : subscriptions_)
    if (subscription.verbs == event.verbs) subscription.mailbox->Post(event);
}

}  // namespace iserd
