#pragma once

#include <napi.h>

#include <memory>

#include "reactor/arena_mapping.h"

namespace iserd {

// JavaScript's `Arena`. JavaScript thread; owned by the garbage collector, with `close` as the
// contract.
class ArenaBinding final : public Napi::ObjectWrap<ArenaBinding> {
 public:
  [[nodiscard]] static Napi::Function Define(Napi::Env env);
  explicit ArenaBinding(const Napi::CallbackInfo& info);

  // Null once closed.
  [[nodiscard]] const std::shared_ptr<ArenaMapping>& mapping() const { return mapping_; }

 private:
  Napi::Value Buffer(const Napi::CallbackInfo& info);
  Napi::Value Base(const Napi::CallbackInfo& info);
  Napi::Value HugePages(const Napi::CallbackInfo& info);
  void Discard(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  std::shared_ptr<ArenaMapping> mapping_;
  Napi::Reference<Napi::ArrayBuffer> buffer_;
};

}  // namespace iserd
