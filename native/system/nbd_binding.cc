#include "system/nbd_binding.h"

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "reactor/arguments.h"
#include "system/nbd_netlink.h"

namespace iserd {

namespace {

// Runs `work` on the thread pool, then settles a promise on the JavaScript thread. Deletes itself
// (Napi::AsyncWorker).
template <class T>
class NbdWorker final : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result<T>()>;
  using ToJs = std::function<Napi::Value(Napi::Env, T&)>;

  static Napi::Value Start(Napi::Env env, Work work, ToJs to_js) {
    auto worker = std::make_unique<NbdWorker>(env, std::move(work), std::move(to_js));
    const Napi::Promise promise = worker->deferred_.Promise();
    worker.release()->Queue();
    return promise;
  }

  NbdWorker(Napi::Env env, Work work, ToJs to_js)
      : AsyncWorker(env, "nbd netlink"),
        work_(std::move(work)),
        to_js_(std::move(to_js)),
        deferred_(Napi::Promise::Deferred::New(env)) {}

 protected:
  void Execute() override { result_.emplace(work_()); }

  void OnOK() override {
    if (result_->ok()) {
      deferred_.Resolve(to_js_(Env(), result_->value()));
    } else {
      deferred_.Reject(ToJsError(Env(), result_->error()).Value());
    }
  }

 private:
  Work work_;
  ToJs to_js_;
  Napi::Promise::Deferred deferred_;
  std::optional<Result<T>> result_;
};

// Result<void> has no value to convert.
struct Nothing {};

[[nodiscard]] Result<Nothing> WithoutValue(const Result<void>& result) {
  if (!result.ok()) return result.error();
  return Nothing{};
}

[[nodiscard]] Napi::Value Undefined(Napi::Env env, Nothing&) { return env.Undefined(); }

// Reads a NativeNbdAttach; an absent field stays absent. Makes a TypeError pending when something
// is not what it should be.
class AttachReader {
 public:
  AttachReader(Napi::Env env, const Napi::Value& value) : env_(env) {
    if (value.IsObject()) {
      object_ = value.As<Napi::Object>();
    } else {
      Fail("attach");
    }
  }

  [[nodiscard]] bool ok() const { return !failed_; }

  [[nodiscard]] NbdAttributes Read() {
    NbdAttributes attributes;
    if (failed_) return attributes;
    attributes.index = Index();
    attributes.size_bytes = Size();
    attributes.block_size = Unsigned("blockSize");
    attributes.server_flags = Unsigned("serverFlags");
    attributes.timeout_seconds = Unsigned("timeoutSeconds");
    attributes.dead_conn_timeout_seconds = Unsigned("deadConnTimeoutSeconds");
    const Napi::Value backend = object_.Get("backendIdentifier");
    if (backend.IsString()) {
      attributes.backend_identifier = backend.As<Napi::String>().Utf8Value();
    } else if (!backend.IsUndefined()) {
      Fail("backendIdentifier");
    }
    ReadSockets(attributes.sockets);
    return attributes;
  }

 private:
  // -1 means that the kernel chooses.
  [[nodiscard]] std::optional<uint32_t> Index() {
    const Napi::Value value = object_.Get("index");
    if (value.IsNumber() && value.As<Napi::Number>().DoubleValue() == -1) return std::nullopt;
    const std::optional<uint64_t> index = Unsigned("index");
    if (!index) return std::nullopt;
    return static_cast<uint32_t>(*index);
  }

  [[nodiscard]] std::optional<uint64_t> Size() {
    const Napi::Value value = object_.Get("sizeBytes");
    if (value.IsUndefined()) return std::nullopt;
    bool lossless = false;
    const uint64_t size = value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
    if (!lossless) Fail("sizeBytes");
    return size;
  }

  [[nodiscard]] std::optional<uint64_t> Unsigned(const char* name) {
    const Napi::Value value = object_.Get(name);
    if (value.IsUndefined()) return std::nullopt;
    const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
    if (!(number >= 0 && number <= UINT32_MAX)) return Fail(name), 0;
    return static_cast<uint64_t>(number);
  }

  void ReadSockets(std::vector<uint32_t>& sockets) {
    const Napi::Value value = object_.Get("sockets");
    if (value.IsUndefined()) return;
    if (!value.IsArray()) return Fail("sockets");
    const auto list = value.As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i) {
      const Napi::Value fd = list.Get(i);
      if (!fd.IsNumber()) return Fail("sockets");
      sockets.push_back(fd.As<Napi::Number>().Uint32Value());
    }
  }

  void Fail(const char* name) {
    if (failed_) return;
    failed_ = true;
    Napi::TypeError::New(env_, std::string("bad argument: ") + name).ThrowAsJavaScriptException();
  }

  Napi::Env env_;
  Napi::Object object_;
  bool failed_ = false;
};

Napi::Value Connect(const Napi::CallbackInfo& info) {
  AttachReader reader(info.Env(), info[0]);
  const NbdAttributes attributes = reader.Read();
  if (!reader.ok()) return info.Env().Undefined();
  return NbdWorker<uint32_t>::Start(
      info.Env(), [attributes] { return NbdConnect(attributes); },
      [](Napi::Env env, uint32_t& index) -> Napi::Value { return Napi::Number::New(env, index); });
}

Napi::Value Reconfigure(const Napi::CallbackInfo& info) {
  AttachReader reader(info.Env(), info[0]);
  const NbdAttributes attributes = reader.Read();
  if (!reader.ok()) return info.Env().Undefined();
  return NbdWorker<Nothing>::Start(
      info.Env(), [attributes] { return WithoutValue(NbdReconfigure(attributes)); }, Undefined);
}

Napi::Value Disconnect(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t index = arguments.Unsigned(0, "index");
  if (!arguments.ok()) return info.Env().Undefined();
  return NbdWorker<Nothing>::Start(
      info.Env(), [index] { return WithoutValue(NbdDisconnect(index)); }, Undefined);
}

Napi::Value Status(const Napi::CallbackInfo& info) {
  using Devices = std::vector<NbdDeviceStatus>;
  return NbdWorker<Devices>::Start(
      info.Env(), NbdStatus, [](Napi::Env env, Devices& devices) -> Napi::Value {
        Napi::Array list = Napi::Array::New(env, devices.size());
        for (size_t i = 0; i < devices.size(); ++i) {
          Napi::Object device = Napi::Object::New(env);
          device.Set("index", Napi::Number::New(env, devices[i].index));
          device.Set("connected", Napi::Boolean::New(env, devices[i].connected));
          list.Set(static_cast<uint32_t>(i), device);
        }
        return list;
      });
}

}  // namespace

void DefineNbd(Napi::Env env, Napi::Object system) {
  system.Set("nbdConnect", Napi::Function::New(env, Connect, "nbdConnect"));
  system.Set("nbdReconfigure", Napi::Function::New(env, Reconfigure, "nbdReconfigure"));
  system.Set("nbdDisconnect", Napi::Function::New(env, Disconnect, "nbdDisconnect"));
  system.Set("nbdStatus", Napi::Function::New(env, Status, "nbdStatus"));
}

}  // namespace iserd
