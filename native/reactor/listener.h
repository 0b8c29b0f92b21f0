#pragma once

#include <memory>

#include "reactor/object.h"
#include "reactor/unique_fd.h"

namespace iserd {

// A listening socket; every accepted descriptor becomes an `accept` completion and from then on
// belongs to its receiver. JavaScript thread; owned by the reactor's object table.
class Listener final : public Object {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Listener>> Adopt(ReactorContext& context, int fd);

  Listener(ReactorContext& context, UniqueFd fd) : Object(context), fd_(std::move(fd)) {}
  ~Listener() override { context_.epoll.Remove(fd_.get()); }

  Result<void> Attach(uint32_t id) override;
  void OnReady(Source source, uint32_t events) override;
  void Submit(const Submission& submission) override { RefuseOperation(submission); }
  void OnDescriptorFreed() override;

 private:
  void ReportAgain();

  UniqueFd fd_;
  bool exhausted_ =
      false;  // the process was out of descriptors or memory: connections may be waiting
};

}  // namespace iserd
