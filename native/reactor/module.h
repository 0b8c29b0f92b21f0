#pragma once

#include <napi.h>

#include <vector>

namespace iserd {

// What must be closed before an environment (the main thread's or a worker's) ends. JavaScript
// thread; implemented by objects that JavaScript holds, which take themselves off the list when
// they are closed.
class Closable {
 public:
  virtual void CloseForExit() = 0;

 protected:
  ~Closable() = default;
};

// The addon's state in one environment. JavaScript thread; owned by the environment as its instance
// data.
//
// At the environment's end its hook closes every reactor, newest first, and holds the end up until
// libuv has let go of their handles: a worker's loop must be empty when it is freed.
class Module {
 public:
  explicit Module(Napi::Env env);

  void Add(Closable* closable) { closables_.push_back(closable); }
  void Remove(Closable* closable) { std::erase(closables_, closable); }

  // A loop handle has been opened, or libuv has let go of one.
  void HandleOpened() { ++open_handles_; }
  void HandleReleased();

 private:
  void OnEnvironmentEnd(napi_async_cleanup_hook_handle hook);

  std::vector<Closable*> closables_;
  int open_handles_ = 0;
  napi_async_cleanup_hook_handle ending_ = nullptr;
};

}  // namespace iserd
