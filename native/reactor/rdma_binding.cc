// The RDMA methods of JavaScript's Reactor: control path only, work requests go through `submit`.
#include <algorithm>
#include <cerrno>
#include <climits>

#include "reactor/arguments.h"
#include "reactor/reactor_binding.h"

namespace iserd {

namespace {

// A conn_param field: the verbs API has 8 bits for it.
uint8_t Octet(Arguments& arguments, const char* name) {
  return static_cast<uint8_t>(std::min(arguments.Field(1, name), uint32_t{UINT8_MAX}));
}

int Milliseconds(uint32_t value) { return static_cast<int>(std::min(value, uint32_t{INT_MAX})); }

}  // namespace

RdmaConnection* ReactorBinding::Connection(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t id = arguments.Unsigned(0, "connection");
  Reactor* reactor = arguments.ok() ? Opened(info.Env()) : nullptr;
  if (reactor == nullptr) return nullptr;
  Object* object = reactor->Find(id);
  RdmaConnection* connection = object == nullptr ? nullptr : object->AsRdmaConnection();
  if (connection == nullptr) Throw(info.Env(), {EBADF, "rdma", "no such RDMA connection"});
  return connection;
}

Napi::Value ReactorBinding::RdmaOpen(const Napi::CallbackInfo& info) {
  Reactor* reactor = Opened(info.Env());
  if (reactor == nullptr) return info.Env().Undefined();
  return InsertObject(info.Env(), *reactor, RdmaConnection::Open(reactor->context()));
}

void ReactorBinding::RdmaResolveAddress(const Napi::CallbackInfo& info) {
  RdmaConnection* connection = Connection(info);
  if (connection == nullptr) return;
  Arguments arguments(info);
  const std::string address = arguments.Text(1, "address");
  const uint32_t port = arguments.Unsigned(2, "port");
  const uint32_t timeout = arguments.Unsigned(3, "timeoutMs");
  if (!arguments.ok()) return;
  Result<SocketAddress> parsed = SocketAddress::Parse(address, port);
  if (!parsed.ok()) return Throw(info.Env(), parsed.error());
  Result<void> started = connection->ResolveAddress(parsed.value(), Milliseconds(timeout));
  if (!started.ok()) Throw(info.Env(), started.error());
}

Napi::Value ReactorBinding::RdmaCreateQueuePair(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  RdmaConnection* connection = Connection(info);
  if (connection == nullptr) return env.Undefined();
  Arguments arguments(info);
  const RdmaConnection::QueuePairLimits limits{.send_depth = arguments.Field(1, "sendDepth"),
                                               .receive_depth = arguments.Field(1, "receiveDepth"),
                                               .max_inline = arguments.Field(1, "maxInline")};
  if (!arguments.ok()) return env.Undefined();
  Result<uint32_t> created = connection->CreateQueuePair(*reactor_, limits);
  if (!created.ok()) return Throw(env, created.error()), env.Undefined();
  return Napi::Number::New(env, created.value());
}

void ReactorBinding::RdmaResolveRoute(const Napi::CallbackInfo& info) {
  RdmaConnection* connection = Connection(info);
  if (connection == nullptr) return;
  Arguments arguments(info);
  const uint32_t timeout = arguments.Unsigned(1, "timeoutMs");
  if (!arguments.ok()) return;
  Result<void> started = connection->ResolveRoute(Milliseconds(timeout));
  if (!started.ok()) Throw(info.Env(), started.error());
}

void ReactorBinding::RdmaConnect(const Napi::CallbackInfo& info) {
  RdmaConnection* connection = Connection(info);
  if (connection == nullptr) return;
  Arguments arguments(info);
  RdmaConnection::ConnectParameters parameters{
      .responder_resources = Octet(arguments, "responderResources"),
      .initiator_depth = Octet(arguments, "initiatorDepth"),
      .retry_count = Octet(arguments, "retryCount"),
      .rnr_retry_count = Octet(arguments, "rnrRetryCount"),
      .private_data = {}};
  if (!arguments.ok()) return;
  const Napi::Value bytes = info[1].As<Napi::Object>().Get("privateData");
  if (bytes.IsTypedArray() && bytes.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array) {
    const auto array = bytes.As<Napi::Uint8Array>();
    parameters.private_data = {array.Data(), array.ElementLength()};
  }
  Result<void> started = connection->Connect(parameters);
  if (!started.ok()) Throw(info.Env(), started.error());
}

void ReactorBinding::RdmaDisconnect(const Napi::CallbackInfo& info) {
  RdmaConnection* connection = Connection(info);
  if (connection == nullptr) return;
  Result<void> disconnected = connection->Disconnect();
  if (!disconnected.ok()) Throw(info.Env(), disconnected.error());
}

Napi::Value ReactorBinding::RdmaDeviceLimits(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Arguments arguments(info);
  const uint32_t id = arguments.Unsigned(0, "protectionDomain");
  Reactor* reactor = arguments.ok() ? Opened(env) : nullptr;
  if (reactor == nullptr) return env.Undefined();
  const std::shared_ptr<RdmaDevice> device = reactor->FindDevice(id);
  if (device == nullptr)
    return Throw(env, {EBADF, "ibv_query_device_ex", "no such protection domain"}), env.Undefined();
  Result<RdmaDevice::Limits> limits = device->QueryLimits();
  if (!limits.ok()) return Throw(env, limits.error()), env.Undefined();
  Napi::Object result = Napi::Object::New(env);
  result.Set("device", Napi::String::New(env, limits.value().device));
  result.Set("maxQpReadAtomic", Napi::Number::New(env, limits.value().max_qp_read_atomic));
  result.Set("maxQpWorkRequests", Napi::Number::New(env, limits.value().max_qp_work_requests));
  result.Set("onDemandPaging", Napi::Boolean::New(env, limits.value().on_demand_paging));
  return result;
}

Napi::Value ReactorBinding::RegisterMemory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Arguments arguments(info);
  const uint32_t domain = arguments.Unsigned(0, "protectionDomain");
  const uint64_t offset = arguments.Size(1, "offset");
  const uint64_t length = arguments.Size(2, "length");
  const uint32_t access = arguments.Unsigned(3, "access");
  Reactor* reactor = arguments.ok() ? Opened(env) : nullptr;
  if (reactor == nullptr) return env.Undefined();
  std::shared_ptr<RdmaDevice> device = reactor->FindDevice(domain);
  if (device == nullptr)
    return Throw(env, {EBADF, "ibv_reg_mr", "no such protection domain"}), env.Undefined();
  Result<std::unique_ptr<MemoryRegion>> region =
      MemoryRegion::Register(std::move(device), *reactor->context().arena, offset, length, access);
  if (!region.ok()) return Throw(env, region.error()), env.Undefined();
  const uint32_t lkey = region.value()->lkey();
  const uint32_t rkey = region.value()->rkey();
  Result<uint32_t> id = reactor->InsertRegion(std::move(region.value()));
  if (!id.ok()) return Throw(env, id.error()), env.Undefined();
  Napi::Object result = Napi::Object::New(env);
  result.Set("id", Napi::Number::New(env, id.value()));
  result.Set("lkey", Napi::Number::New(env, lkey));
  result.Set("rkey", Napi::Number::New(env, rkey));
  return result;
}

void ReactorBinding::DeregisterMemory(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t id = arguments.Unsigned(0, "region");
  Reactor* reactor = arguments.ok() ? Opened(info.Env()) : nullptr;
  if (reactor == nullptr) return;
  if (Result<void> result = reactor->DeregisterRegion(id); !result.ok())
    Throw(info.Env(), result.error());
}

}  // namespace iserd
