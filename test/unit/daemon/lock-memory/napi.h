// In place of node-addon-api's: what native/error.h says of it, so that a program without Node.js can use native code.
#pragma once

namespace Napi {
class Env;
class Error;
}  // namespace Napi
