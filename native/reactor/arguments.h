#pragma once

#include <napi.h>

#include <cstdint>
#include <string>

#include "error.h"

namespace iserd {

// Reads the arguments of one call from JavaScript. JavaScript thread; lives on the stack of the
// call. The first argument that is missing or out of range makes a TypeError pending; after it
// every answer is a harmless default.
class Arguments {
 public:
  explicit Arguments(const Napi::CallbackInfo& info) : info_(info) {}

  [[nodiscard]] bool ok() const { return !failed_; }

  // An integer in 0 … 2^32-1.
  [[nodiscard]] uint32_t Unsigned(size_t index, const char* name) {
    return ToUnsigned(info_[index], name);
  }

  // An integer in 0 … 2^53-1.
  [[nodiscard]] uint64_t Size(size_t index, const char* name) {
    const double value =
        info_[index].IsNumber() ? info_[index].As<Napi::Number>().DoubleValue() : -1;
    if (!(value >= 0 && value <= 9007199254740991.0)) return Fail(name), 0;
    return static_cast<uint64_t>(value);
  }

  [[nodiscard]] std::string Text(size_t index, const char* name) {
    if (!info_[index].IsString()) return Fail(name), std::string();
    return info_[index].As<Napi::String>().Utf8Value();
  }

  // The named unsigned field of an object argument.
  [[nodiscard]] uint32_t Field(size_t index, const char* name) {
    if (!info_[index].IsObject()) return Fail(name), 0;
    return ToUnsigned(info_[index].As<Napi::Object>().Get(name), name);
  }

 private:
  uint32_t ToUnsigned(const Napi::Value& value, const char* name) {
    const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
    if (!(number >= 0 && number <= UINT32_MAX)) return Fail(name), 0;
    return static_cast<uint32_t>(number);
  }

  void Fail(const char* name) {
    if (failed_) return;
    failed_ = true;
    Napi::TypeError::New(info_.Env(), std::string("bad argument: ") + name)
        .ThrowAsJavaScriptException();
  }

  const Napi::CallbackInfo& info_;
  bool failed_ = false;
};

}  // namespace iserd
