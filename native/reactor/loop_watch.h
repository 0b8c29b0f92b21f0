#pragma once

#include <uv.h>

#include <functional>
#include <memory>

#include "error.h"

namespace iserd {

// The reactor's handles on libuv's loop: one watches the epoll set, one asks for a turn, one for a
// turn later.
// JavaScript thread; owned by the reactor binding through `Close`: libuv lets go of handles only in
// a later turn, so the object frees itself then.
class LoopWatch {
 public:
  // Whom the loop calls; must outlive the call of Close.
  class Listener {
   public:
    virtual void OnLoopTurn() = 0;
    virtual void OnDelayOver() = 0;

   protected:
    ~Listener() = default;
  };

  struct Closer {
    void operator()(LoopWatch* watch) const { watch->Close(); }
  };
  using Owner = std::unique_ptr<LoopWatch, Closer>;

  // `released` is called, on the same thread, when libuv has let go of the handles; never when Open
  // fails.
  [[nodiscard]] static Result<Owner> Open(uv_loop_t* loop, int epoll_fd, Listener* listener,
                                          std::function<void()> released);

  // OnLoopTurn in the loop's next iteration: timers have their turn before, and no system call is
  // needed.
  void WakeSoon();
  // OnDelayOver after a millisecond, once, however often this is called until then.
  void WakeLater();
  // Whether the loop, hence the process, lives on while nothing but the watch is left.
  void KeepLoopAlive(bool alive);

 private:
  explicit LoopWatch(Listener* listener) : listener_(listener) {}
  ~LoopWatch() = default;
  void Close();
  void HandleClosed();

  uv_poll_t poll_{};
  uv_idle_t idle_{};
  uv_timer_t timer_{};
  Listener* listener_;
  std::function<void()> released_;
  int open_handles_ = 0;
};

}  // namespace iserd
