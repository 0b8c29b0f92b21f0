#include "error.h"

#include <cerrno>
#include <cstring>

namespace iserd {

Error LastError(const char* syscall) { return Error{.number = errno, .syscall = syscall}; }

Napi::Error ToJsError(Napi::Env env, const Error& error) {
  const char* name = strerrorname_np(error.number);
  const char* description = strerrordesc_np(error.number);
  std::string message =
      std::string(error.syscall) + ": " + (description ? description : "unknown error");
  if (!error.detail.empty()) message += ": " + error.detail;
  Napi::Error result = Napi::Error::New(env, message);
  Napi::Object fields = result.Value();
  fields.Set("code", Napi::String::New(env, name ? name : "EUNKNOWN"));
  fields.Set("errno", Napi::Number::New(env, error.number));
  fields.Set("syscall", Napi::String::New(env, error.syscall));
  return result;
}

void Throw(Napi::Env env, const Error& error) {
  ToJsError(env, error).ThrowAsJavaScriptException();
}

}  // namespace iserd
