#pragma once

#include <napi.h>

namespace iserd {

// The object behind `NativeSystem` of src/reactor/native.ts: system calls, service notification,
// nbd netlink. JavaScript thread; holds no state.
[[nodiscard]] Napi::Object CreateSystem(Napi::Env env);

}  // namespace iserd
