#include "system/rdma_devices.h"

#include <infiniband/verbs.h>

#include <cerrno>
#include <memory>

#include "reactor/rdma_device.h"

namespace iserd {

namespace {

struct DeviceListDeleter {
  void operator()(ibv_device** list) const { ibv_free_device_list(list); }
};

struct ContextDeleter {
  void operator()(ibv_context* context) const { ibv_close_device(context); }
};

// ibv_mtu counts powers of two from 256 (1) to 4096 (5).
[[nodiscard]] uint32_t MtuBytes(ibv_mtu mtu) { return 128U << static_cast<uint32_t>(mtu); }

[[nodiscard]] RdmaDeviceState QueryDevice(ibv_device* device) {
  RdmaDeviceState state{.name = ibv_get_device_name(device), .node = device->dev_name};
  errno = 0;
  const std::unique_ptr<ibv_context, ContextDeleter> context(ibv_open_device(device));
  if (context == nullptr) {
    state.error = errno != 0 ? errno : EIO;
    return state;
  }
  ibv_device_attr_ex attributes{};
  state.error = ibv_query_device_ex(context.get(), nullptr, &attributes);
  if (state.error != 0) return state;
  state.lacking_for_paging = LackingForPaging(attributes);
  for (uint8_t number = 1; number <= attributes.orig_attr.phys_port_cnt; ++number) {
    ibv_port_attr port{};
    if (ibv_query_port(context.get(), number, &port) != 0) continue;
    state.ports.push_back({.number = number,
                           .active = port.state == IBV_PORT_ACTIVE,
                           .ethernet = port.link_layer == IBV_LINK_LAYER_ETHERNET,
                           .active_mtu = MtuBytes(port.active_mtu),
                           .largest_mtu = MtuBytes(port.max_mtu)});
  }
  return state;
}

[[nodiscard]] Napi::Object ToJs(Napi::Env env, const RdmaPort& port) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("number", Napi::Number::New(env, port.number));
  object.Set("active", Napi::Boolean::New(env, port.active));
  object.Set("ethernet", Napi::Boolean::New(env, port.ethernet));
  object.Set("activeMtu", Napi::Number::New(env, port.active_mtu));
  object.Set("largestMtu", Napi::Number::New(env, port.largest_mtu));
  return object;
}

[[nodiscard]] Napi::Object ToJs(Napi::Env env, const RdmaDeviceState& device) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("name", Napi::String::New(env, device.name));
  object.Set("node", Napi::String::New(env, device.node));
  object.Set("errno", Napi::Number::New(env, device.error));
  object.Set("lackingForPaging", Napi::String::New(env, device.lacking_for_paging));
  Napi::Array ports = Napi::Array::New(env, device.ports.size());
  for (size_t i = 0; i < device.ports.size(); ++i)
    ports.Set(static_cast<uint32_t>(i), ToJs(env, device.ports[i]));
  object.Set("ports", ports);
  return object;
}

Napi::Value RdmaDevicesCall(const Napi::CallbackInfo& info) {
  const std::vector<RdmaDeviceState> devices = RdmaDevices();
  Napi::Array list = Napi::Array::New(info.Env(), devices.size());
  for (size_t i = 0; i < devices.size(); ++i)
    list.Set(static_cast<uint32_t>(i), ToJs(info.Env(), devices[i]));
  return list;
}

}  // namespace

std::vector<RdmaDeviceState> RdmaDevices() {
  int count = 0;
  const std::unique_ptr<ibv_device*[], DeviceListDeleter> list(ibv_get_device_list(&count));
  std::vector<RdmaDeviceState> devices;
  if (list == nullptr) return devices;
  for (int i = 0; i < count; ++i) devices.push_back(QueryDevice(list[i]));
  return devices;
}

void DefineRdmaDevices(Napi::Env env, Napi::Object system) {
  system.Set("rdmaDevices", Napi::Function::New(env, RdmaDevicesCall, "rdmaDevices"));
}

}  // namespace iserd
