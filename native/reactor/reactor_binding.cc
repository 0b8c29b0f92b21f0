#include "reactor/reactor_binding.h"

#include <cerrno>

#include "reactor/arena_binding.h"
#include "reactor/arguments.h"
#include "reactor/listener.h"
#include "reactor/stream.h"

namespace iserd {

namespace {

// Entries of either array; more would only make batches that hold up the others.
constexpr uint32_t kMaximumCapacity = 65536;

// Native code's view of an array that JavaScript reads and writes: both are plain uint32 columns.
template <class Entry>
std::span<Entry> EntriesOf(Napi::Uint32Array words) {
  return {reinterpret_cast<Entry*>(words.Data()),
          words.ElementLength() * sizeof(uint32_t) / sizeof(Entry)};
}

// Napi::CallbackScope without the object that it makes, for Node-API to ignore, at every batch.
class BatchScope {
 public:
  BatchScope(napi_env env, napi_value resource, napi_async_context context) : env_(env) {
    if (napi_open_callback_scope(env_, resource, context, &scope_) != napi_ok) scope_ = nullptr;
  }
  BatchScope(const BatchScope&) = delete;
  BatchScope& operator=(const BatchScope&) = delete;
  ~BatchScope() {
    if (scope_ != nullptr) napi_close_callback_scope(env_, scope_);
  }

 private:
  napi_env env_;
  napi_callback_scope scope_ = nullptr;
};

}  // namespace

Napi::Function ReactorBinding::Define(Napi::Env env) {
  using R = ReactorBinding;
  return DefineClass(env, "Reactor",
                     {InstanceAccessor<&R::Submissions>("submissions"),
                      InstanceAccessor<&R::Completions>("completions"),
                      InstanceAccessor<&R::ControlArray>("control"),
                      InstanceAccessor<&R::OpenObjects>("openObjects"),
                      InstanceMethod<&R::Submit>("submit"),
                      InstanceMethod<&R::OpenStream>("openStream"),
                      InstanceMethod<&R::ConnectStream>("connectStream"),
                      InstanceMethod<&R::OpenListener>("openListener"),
                      InstanceMethod<&R::CloseObject>("closeObject"),
                      InstanceMethod<&R::DescriptorFreed>("descriptorFreed"),
                      InstanceMethod<&R::RdmaOpen>("rdmaOpen"),
                      InstanceMethod<&R::RdmaResolveAddress>("rdmaResolveAddress"),
                      InstanceMethod<&R::RdmaCreateQueuePair>("rdmaCreateQueuePair"),
                      InstanceMethod<&R::RdmaResolveRoute>("rdmaResolveRoute"),
                      InstanceMethod<&R::RdmaConnect>("rdmaConnect"),
                      InstanceMethod<&R::RdmaDisconnect>("rdmaDisconnect"),
                      InstanceMethod<&R::RdmaDeviceLimits>("rdmaDeviceLimits"),
                      InstanceMethod<&R::RegisterMemory>("registerMemory"),
                      InstanceMethod<&R::DeregisterMemory>("deregisterMemory"),
                      InstanceMethod<&R::Close>("close")});
}

ReactorBinding::ReactorBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  const ArenaBinding* arena =
      info[0].IsObject() ? ArenaBinding::Unwrap(info[0].As<Napi::Object>()) : nullptr;
  if (env.IsExceptionPending()) return;
  Arguments arguments(info);
  const uint32_t capacity = arguments.Unsigned(1, "capacity");
  if (!arguments.ok()) return;
  if (arena == nullptr || arena->mapping() == nullptr) {
    Throw(env, {EINVAL, "reactor", "the arena is closed"});
    return;
  }
  if (capacity == 0 || capacity > kMaximumCapacity || !info[2].IsFunction()) {
    Throw(env, {EINVAL, "reactor", "capacity must be 1 to 65536 and the last argument a function"});
    return;
  }
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    Throw(env, {ENOSYS, "reactor", "no event loop"});
    return;
  }

  const auto submissions = Napi::Uint32Array::New(env, size_t{capacity} * kSubmissionWords);
  const auto completions = Napi::Uint32Array::New(env, size_t{capacity} * kCompletionWords);
  const auto control = Napi::Uint32Array::New(env, kControlWords);
  control_ = Napi::Persistent(control);
  submissions_ = Napi::Persistent(submissions);
  completions_ = Napi::Persistent(completions);
  on_completions_ = Napi::Persistent(info[2].As<Napi::Function>());
  // The resource must outlive the context: when it is collected, Node-API makes a new one for every
  // batch.
  async_context_.emplace(env, "iserd.reactor", info.This().As<Napi::Object>());
  module_ = env.GetInstanceData<Module>();
  Result<std::unique_ptr<Reactor>> reactor =
      Reactor::Open({.arena = arena->mapping(),
                     .submissions = EntriesOf<const Submission>(submissions),
                     .completions = EntriesOf<Completion>(completions),
                     .control = EntriesOf<const Control>(control).data(),
                     .receiver = this,
                     .loop = loop,
                     .released = [this] { OnReleased(); }});
  if (!reactor.ok()) {
    Throw(env, reactor.error());
    return;
  }
  reactor_ = std::move(reactor.value());
  module_->Add(this);
  module_->HandleOpened();
  Ref();
}

void ReactorBinding::Deliver(uint32_t count) {
  const Napi::Env env = Env();
  const Napi::HandleScope handles(env);
  // Microtasks run when this scope ends. What the callback queued is carried out before: they may
  // queue anew.
  const BatchScope scope(env, Value(), *async_context_);
  const napi_value argument = Napi::Number::New(env, count);
  napi_value result = nullptr;
  uint32_t queued = 0;
  if (napi_call_function(env, Value(), on_completions_.Value(), 1, &argument, &result) == napi_ok) {
    if (napi_get_value_uint32(env, result, &queued) != napi_ok) queued = 0;
    if (!reactor_->closed()) reactor_->Submit(queued);
    return;
  }
  napi_value thrown = nullptr;
  // Neither succeeds while a worker is being terminated; then nobody is left to tell.
  if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
}

void ReactorBinding::Close(const Napi::CallbackInfo&) {
  if (reactor_ == nullptr || reactor_->closed()) return;
  module_->Remove(this);
  reactor_->Shutdown();
}

void ReactorBinding::CloseForExit() { reactor_->Shutdown(); }

void ReactorBinding::OnReleased() {
  if (reactor_ == nullptr) return;  // it never opened
  Module* module = module_;
  {
    const Napi::HandleScope handles(Env());
    reactor_.reset();
    on_completions_.Reset();
    async_context_.reset();
    Unref();
  }
  module->HandleReleased();
}

Reactor* ReactorBinding::Opened(Napi::Env env) {
  if (reactor_ != nullptr && !reactor_->closed()) return reactor_.get();
  Throw(env, {EBADF, "reactor", "the reactor is closed"});
  return nullptr;
}

Napi::Value ReactorBinding::Submissions(const Napi::CallbackInfo&) { return submissions_.Value(); }

Napi::Value ReactorBinding::Completions(const Napi::CallbackInfo&) { return completions_.Value(); }

Napi::Value ReactorBinding::ControlArray(const Napi::CallbackInfo&) { return control_.Value(); }

Napi::Value ReactorBinding::OpenObjects(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(),
                           reactor_ == nullptr ? 0 : static_cast<double>(reactor_->open_objects()));
}

void ReactorBinding::Submit(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t count = arguments.Unsigned(0, "count");
  if (!arguments.ok()) return;
  if (Reactor* reactor = Opened(info.Env()); reactor != nullptr) reactor->Submit(count);
}

Napi::Value ReactorBinding::OpenStream(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t fd = arguments.Unsigned(0, "fd");
  Reactor* reactor = arguments.ok() ? Opened(info.Env()) : nullptr;
  if (reactor == nullptr) return info.Env().Undefined();
  return InsertObject(info.Env(), *reactor,
                      Stream::Adopt(reactor->context(), static_cast<int>(fd)));
}

Napi::Value ReactorBinding::ConnectStream(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string address = arguments.Text(0, "address");
  const uint32_t port = arguments.Unsigned(1, "port");
  Reactor* reactor = arguments.ok() ? Opened(info.Env()) : nullptr;
  if (reactor == nullptr) return info.Env().Undefined();
  Result<SocketAddress> parsed = SocketAddress::Parse(address, port);
  if (!parsed.ok()) return Throw(info.Env(), parsed.error()), info.Env().Undefined();
  return InsertObject(info.Env(), *reactor, Stream::Connect(reactor->context(), parsed.value()));
}

Napi::Value ReactorBinding::OpenListener(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t fd = arguments.Unsigned(0, "fd");
  Reactor* reactor = arguments.ok() ? Opened(info.Env()) : nullptr;
  if (reactor == nullptr) return info.Env().Undefined();
  return InsertObject(info.Env(), *reactor,
                      Listener::Adopt(reactor->context(), static_cast<int>(fd)));
}

void ReactorBinding::CloseObject(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t id = arguments.Unsigned(0, "object");
  if (!arguments.ok()) return;
  if (Reactor* reactor = Opened(info.Env()); reactor != nullptr) reactor->CloseObject(id);
}

void ReactorBinding::DescriptorFreed(const Napi::CallbackInfo& info) {
  if (Reactor* reactor = Opened(info.Env()); reactor != nullptr) reactor->DescriptorFreed();
}

}  // namespace iserd
