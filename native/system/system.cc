#include "system/system.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <limits>
#include <vector>

#include "reactor/arguments.h"
#include "system/descriptors.h"
#include "system/nbd_binding.h"
#include "system/process.h"
#include "system/rdma_devices.h"

namespace iserd {

namespace {

// Throws, or returns undefined.
Napi::Value Finish(Napi::Env env, const Result<void>& result) {
  if (!result.ok()) Throw(env, result.error());
  return env.Undefined();
}

// Throws, or hands the fd to JavaScript.
Napi::Value FinishFd(Napi::Env env, Result<UniqueFd> result) {
  if (!result.ok()) {
    Throw(env, result.error());
    return env.Undefined();
  }
  return Napi::Number::New(env, result.value().Release());
}

Napi::Value SocketPairCall(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint32_t send_buffer_size = arguments.Unsigned(0, "sendBufferSize");
  if (!arguments.ok()) return info.Env().Undefined();
  Result<std::pair<UniqueFd, UniqueFd>> ends = SocketPair(send_buffer_size);
  if (!ends.ok()) {
    Throw(info.Env(), ends.error());
    return info.Env().Undefined();
  }
  Napi::Array pair = Napi::Array::New(info.Env(), 2);
  pair.Set(0U, Napi::Number::New(info.Env(), ends.value().first.Release()));
  pair.Set(1U, Napi::Number::New(info.Env(), ends.value().second.Release()));
  return pair;
}

Napi::Value ListenUnixCall(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string path = arguments.Text(0, "path");
  const uint32_t mode = arguments.Unsigned(1, "mode");
  const uint32_t backlog = arguments.Unsigned(2, "backlog");
  const std::string group = info[3].IsUndefined() ? std::string() : arguments.Text(3, "group");
  if (!arguments.ok()) return info.Env().Undefined();
  return FinishFd(info.Env(), ListenUnix(path, mode, static_cast<int>(backlog), group));
}

Napi::Value ListenTcpCall(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string address = arguments.Text(0, "address");
  const uint32_t port = arguments.Unsigned(1, "port");
  const uint32_t backlog = arguments.Unsigned(2, "backlog");
  if (!arguments.ok()) return info.Env().Undefined();
  return FinishFd(info.Env(), ListenTcp(address, port, static_cast<int>(backlog)));
}

Napi::Value CloseFd(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = static_cast<int>(arguments.Unsigned(0, "fd"));
  if (!arguments.ok()) return info.Env().Undefined();
  // After EINTR the fd is gone too (Linux).
  if (close(fd) != 0 && errno != EINTR) Throw(info.Env(), LastError("close"));
  return info.Env().Undefined();
}

Napi::Value DuplicateFd(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = static_cast<int>(arguments.Unsigned(0, "fd"));
  if (!arguments.ok()) return info.Env().Undefined();
  return FinishFd(info.Env(), Duplicate(fd));
}

Napi::Value ShutdownFd(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = static_cast<int>(arguments.Unsigned(0, "fd"));
  if (!arguments.ok()) return info.Env().Undefined();
  return Finish(info.Env(), Shutdown(fd));
}

Napi::Value LockFileCall(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string path = arguments.Text(0, "path");
  if (!arguments.ok()) return info.Env().Undefined();
  return FinishFd(info.Env(), LockFile(path));
}

Napi::Value HasHungUp(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const int fd = static_cast<int>(arguments.Unsigned(0, "fd"));
  if (!arguments.ok()) return info.Env().Undefined();
  Result<bool> hung_up = PeerHasHungUp(fd);
  if (!hung_up.ok()) {
    Throw(info.Env(), hung_up.error());
    return info.Env().Undefined();
  }
  return Napi::Boolean::New(info.Env(), hung_up.value());
}

// An optional argument that lists fds; what is no number becomes -1, which the kernel refuses.
[[nodiscard]] std::vector<int> OptionalFds(const Napi::Value& value) {
  std::vector<int> fds;
  if (!value.IsArray()) return fds;
  const auto list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    const Napi::Value fd = list.Get(i);
    fds.push_back(fd.IsNumber() ? fd.As<Napi::Number>().Int32Value() : -1);
  }
  return fds;
}

// sdNotify(state, fds?): fds go along with FDSTORE=1.
Napi::Value SdNotify(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string state = arguments.Text(0, "state");
  if (!arguments.ok()) return info.Env().Undefined();
  const std::vector<int> fds = OptionalFds(info[1]);
  const int sent =
      sd_pid_notify_with_fds(0, 0, state.c_str(), fds.data(), static_cast<unsigned>(fds.size()));
  if (sent < 0) Throw(info.Env(), Error{.number = -sent, .syscall = "sd_notify"});
  return Napi::Boolean::New(info.Env(), sent > 0);
}

Napi::Value WatchdogMicroseconds(const Napi::CallbackInfo& info) {
  uint64_t microseconds = 0;
  const int enabled = sd_watchdog_enabled(0, &microseconds);
  if (enabled < 0) Throw(info.Env(), Error{.number = -enabled, .syscall = "sd_watchdog_enabled"});
  return Napi::Number::New(info.Env(), enabled > 0 ? static_cast<double>(microseconds) : 0);
}

[[nodiscard]] bool IsListening(int fd) {
  int listening = 0;
  socklen_t length = sizeof listening;
  return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 && listening != 0;
}

Napi::Value ListenFds(const Napi::CallbackInfo& info) {
  char** names = nullptr;
  const int count = sd_listen_fds_with_names(0, &names);
  if (count < 0) {
    Throw(info.Env(), Error{.number = -count, .syscall = "sd_listen_fds"});
    return info.Env().Undefined();
  }
  Napi::Array list = Napi::Array::New(info.Env(), static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    const int fd = SD_LISTEN_FDS_START + i;
    Napi::Object entry = Napi::Object::New(info.Env());
    entry.Set("fd", Napi::Number::New(info.Env(), fd));
    entry.Set("name", Napi::String::New(info.Env(), names != nullptr ? names[i] : ""));
    entry.Set("listening", Napi::Boolean::New(info.Env(), IsListening(fd)));
    list.Set(static_cast<uint32_t>(i), entry);
    // The array and its strings come from malloc (sd_listen_fds_with_names(3)).
    if (names != nullptr) std::free(names[i]);
  }
  std::free(names);
  return list;
}

Napi::Value LockMemoryCall(const Napi::CallbackInfo& info) {
  return Finish(info.Env(), LockMemory());
}

Napi::Value UnlockMemoryCall(const Napi::CallbackInfo& info) {
  return Finish(info.Env(), UnlockMemory());
}

Napi::Value SetIoFlusherCall(const Napi::CallbackInfo& info) {
  return Finish(info.Env(), SetIoFlusher());
}

Napi::Value SetOomScoreAdjustCall(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) {
    Napi::TypeError::New(info.Env(), "bad argument: value").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  return Finish(info.Env(), SetOomScoreAdjust(info[0].As<Napi::Number>().Int32Value()));
}

Napi::Value MemlockLimitCall(const Napi::CallbackInfo& info) {
  Result<rlimit> limit = MemlockLimit();
  if (!limit.ok()) {
    Throw(info.Env(), limit.error());
    return info.Env().Undefined();
  }
  const auto bytes = [&](rlim_t value) {
    return Napi::Number::New(info.Env(), value == RLIM_INFINITY
                                             ? std::numeric_limits<double>::infinity()
                                             : static_cast<double>(value));
  };
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("soft", bytes(limit.value().rlim_cur));
  result.Set("hard", bytes(limit.value().rlim_max));
  return result;
}

Napi::Value ExecuteCall(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const std::string program = arguments.Text(0, "program");
  std::vector<std::string> argv;
  if (info[1].IsArray()) {
    const auto list = info[1].As<Napi::Array>();
    for (uint32_t i = 0; i < list.Length(); ++i)
      argv.push_back(Napi::Value(list.Get(i)).ToString().Utf8Value());
  }
  if (!arguments.ok()) return info.Env().Undefined();
  Throw(info.Env(), Execute(program, argv, OptionalFds(info[2])));
  return info.Env().Undefined();
}

}  // namespace

Napi::Object CreateSystem(Napi::Env env) {
  Napi::Object system = Napi::Object::New(env);
  const auto define = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    system.Set(name, Napi::Function::New(env, call, name));
  };
  define("socketPair", SocketPairCall);
  define("listenUnix", ListenUnixCall);
  define("listenTcp", ListenTcpCall);
  define("closeFd", CloseFd);
  define("duplicateFd", DuplicateFd);
  define("shutdownFd", ShutdownFd);
  define("lockFile", LockFileCall);
  define("hasHungUp", HasHungUp);
  define("sdNotify", SdNotify);
  define("watchdogMicroseconds", WatchdogMicroseconds);
  define("listenFds", ListenFds);
  define("lockMemory", LockMemoryCall);
  define("unlockMemory", UnlockMemoryCall);
  define("setIoFlusher", SetIoFlusherCall);
  define("setOomScoreAdjust", SetOomScoreAdjustCall);
  define("memlockLimit", MemlockLimitCall);
  define("execute", ExecuteCall);
  DefineNbd(env, system);
  DefineRdmaDevices(env, system);
  return system;
}

}  // namespace iserd
