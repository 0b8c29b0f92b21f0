#pragma once

#include <infiniband/verbs.h>

#include <memory>
#include <mutex>
#include <vector>

#include "error.h"
#include "reactor/unique_fd.h"

namespace iserd {

// One asynchronous event of a verbs device. `element` is the queue pair or completion queue it is
// about: compared by address, never followed; null when it is about the device or a port.
struct DeviceEvent {
  const ibv_context* verbs;
  const void* element;
  uint32_t type;  // ibv_event_type
};

// Device events on their way to one reactor. Posted by the thread that read the event, drained by
// the reactor's. Shared by the reactor and its devices.
class DeviceEventMailbox {
 public:
  [[nodiscard]] static Result<std::shared_ptr<DeviceEventMailbox>> Open();
  explicit DeviceEventMailbox(UniqueFd fd) : fd_(std::move(fd)) {}

  void Post(const DeviceEvent& event);
  [[nodiscard]] std::vector<DeviceEvent> Drain();
  // Readable while there is something to drain.
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  std::mutex mutex_;
  std::vector<DeviceEvent> events_;
};

// librdmacm opens each device once per process, so that the reactors of all threads share its
// asynchronous events: whoever reads one publishes it to all. Any thread; one per process, never
// destroyed, off the data path.
class DeviceEventHub {
 public:
  [[nodiscard]] static DeviceEventHub& Instance();

  void Subscribe(const ibv_context* verbs, std::shared_ptr<DeviceEventMailbox> mailbox);
  // True: the device is being removed, and this was its last user in the process.
  [[nodiscard]] bool Unsubscribe(const ibv_context* verbs, const DeviceEventMailbox* mailbox);
  // The device is being removed: to its users a fatal event, whatever the driver says or does not.
  void OnRemoved(const ibv_context* verbs);
  // Reads and acknowledges what is there, without waiting; `verbs->async_fd` must be non-blocking.
  void ReadEvents(ibv_context* verbs);

 private:
  struct Subscription {
    const ibv_context* verbs;
    std::shared_ptr<DeviceEventMailbox> mailbox;
  };

  void Publish(const DeviceEvent& event);

  std::mutex mutex_;
  std::vector<Subscription> subscriptions_;
  std::vector<const ibv_context*> removed_;  // with users left
};

}  // namespace iserd
