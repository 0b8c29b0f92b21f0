#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "reactor/module.h"
#include "reactor/rdma_connection.h"
#include "reactor/reactor.h"

namespace iserd {

// JavaScript's `Reactor`: turns arguments into calls and errors into exceptions, and calls
// JavaScript with completions. JavaScript thread; keeps itself alive until `close`, because the
// loop holds a pointer to what it owns.
class ReactorBinding final : public Napi::ObjectWrap<ReactorBinding>,
                             private Reactor::Receiver,
                             private Closable {
 public:
  [[nodiscard]] static Napi::Function Define(Napi::Env env);
  explicit ReactorBinding(const Napi::CallbackInfo& info);

 private:
  void Deliver(uint32_t count) override;
  void CloseForExit() override;

  Napi::Value Submissions(const Napi::CallbackInfo& info);
  Napi::Value Completions(const Napi::CallbackInfo& info);
  Napi::Value ControlArray(const Napi::CallbackInfo& info);
  Napi::Value OpenObjects(const Napi::CallbackInfo& info);
  void Submit(const Napi::CallbackInfo& info);
  Napi::Value OpenStream(const Napi::CallbackInfo& info);
  Napi::Value ConnectStream(const Napi::CallbackInfo& info);
  Napi::Value OpenListener(const Napi::CallbackInfo& info);
  void CloseObject(const Napi::CallbackInfo& info);
  void DescriptorFreed(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  // In rdma_binding.cc.
  Napi::Value RdmaOpen(const Napi::CallbackInfo& info);
  void RdmaResolveAddress(const Napi::CallbackInfo& info);
  Napi::Value RdmaCreateQueuePair(const Napi::CallbackInfo& info);
  void RdmaResolveRoute(const Napi::CallbackInfo& info);
  void RdmaConnect(const Napi::CallbackInfo& info);
  void RdmaDisconnect(const Napi::CallbackInfo& info);
  Napi::Value RdmaDeviceLimits(const Napi::CallbackInfo& info);
  Napi::Value RegisterMemory(const Napi::CallbackInfo& info);
  void DeregisterMemory(const Napi::CallbackInfo& info);

  // The open reactor; null, with an exception pending, when it is closed.
  [[nodiscard]] Reactor* Opened(Napi::Env env);
  // The connection named by argument 0; null, with an exception pending, when there is none.
  [[nodiscard]] RdmaConnection* Connection(const Napi::CallbackInfo& info);
  template <class T>
  [[nodiscard]] Napi::Value InsertObject(Napi::Env env, Reactor& reactor,
                                         Result<std::unique_ptr<T>> object);
  // libuv has let go of the reactor's handles: nothing of it is on the stack any more.
  void OnReleased();

  std::optional<Napi::AsyncContext> async_context_;
  Napi::FunctionReference on_completions_;
  Napi::Reference<Napi::Uint32Array> submissions_;
  Napi::Reference<Napi::Uint32Array> completions_;
  Napi::Reference<Napi::Uint32Array> control_;
  Module* module_ = nullptr;
  std::unique_ptr<Reactor> reactor_;
};

template <class T>
Napi::Value ReactorBinding::InsertObject(Napi::Env env, Reactor& reactor,
                                         Result<std::unique_ptr<T>> object) {
  if (!object.ok()) return Throw(env, object.error()), env.Undefined();
  Result<uint32_t> id = reactor.Insert(std::move(object.value()));
  if (!id.ok()) return Throw(env, id.error()), env.Undefined();
  return Napi::Number::New(env, id.value());
}

}  // namespace iserd
