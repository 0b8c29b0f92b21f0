#pragma once

#include <napi.h>

#include <string>
#include <utility>
#include <variant>

namespace iserd {

// What a failed call looked like: the one shape of error inside native code. Value type, any
// thread.
struct Error {
  int number = 0;            // positive errno
  const char* syscall = "";  // the call that failed; a string literal
  std::string detail = {};   // for people: which value, which limit; may be empty
};

// The error of the system call that has just failed (reads errno).
[[nodiscard]] Error LastError(const char* syscall);

// A value, or the error that prevented it. Native code neither throws nor drops one of these.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: meant to convert
  Result(Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: meant to convert

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  [[nodiscard]] T& value() { return *std::get_if<0>(&state_); }
  [[nodiscard]] const Error& error() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}  // NOLINT: meant to convert

  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] const Error& error() const { return error_; }

 private:
  Error error_;
  bool ok_ = true;
};

// The JavaScript error {message, code: 'ENOMEM', errno, syscall} that every native failure becomes.
[[nodiscard]] Napi::Error ToJsError(Napi::Env env, const Error& error);

// Makes `error` the pending JavaScript exception; the caller returns at once.
void Throw(Napi::Env env, const Error& error);

}  // namespace iserd
