#pragma once

#include <napi.h>

namespace iserd {

// Adds nbdConnect, nbdDisconnect, nbdReconfigure and nbdStatus, which run on libuv's thread pool
// and return promises.
void DefineNbd(Napi::Env env, Napi::Object system);

}  // namespace iserd
