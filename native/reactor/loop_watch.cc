#include "reactor/loop_watch.h"

namespace iserd {

Result<LoopWatch::Owner> LoopWatch::Open(uv_loop_t* loop, int epoll_fd, Listener* listener,
                                         std::function<void()> released) {
  Owner watch(new LoopWatch(listener));
  if (const int status = uv_idle_init(loop, &watch->idle_); status != 0)
    return Error{-status, "uv_idle_init"};
  watch->idle_.data = watch.get();
  ++watch->open_handles_;
  if (const int status = uv_timer_init(loop, &watch->timer_); status != 0)
    return Error{-status, "uv_timer_init"};
  watch->timer_.data = watch.get();
  ++watch->open_handles_;
  // What it delivers late keeps nobody waiting, the end of the process least of all.
  uv_unref(reinterpret_cast<uv_handle_t*>(&watch->timer_));
  if (const int status = uv_poll_init(loop, &watch->poll_, epoll_fd); status != 0)
    return Error{-status, "uv_poll_init"};
  watch->poll_.data = watch.get();
  ++watch->open_handles_;
  const int status = uv_poll_start(&watch->poll_, UV_READABLE, [](uv_poll_t* handle, int, int) {
    static_cast<LoopWatch*>(handle->data)->listener_->OnLoopTurn();
  });
  if (status != 0) return Error{-status, "uv_poll_start"};
  watch->released_ = std::move(released);
  return watch;
}

void LoopWatch::WakeSoon() {
  // Starting an active handle does nothing.
  uv_idle_start(&idle_, [](uv_idle_t* handle) {
    uv_idle_stop(handle);
    static_cast<LoopWatch*>(handle->data)->listener_->OnLoopTurn();
  });
}

void LoopWatch::WakeLater() {
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(&timer_)) != 0) return;
  uv_timer_start(
      &timer_,
      [](uv_timer_t* handle) { static_cast<LoopWatch*>(handle->data)->listener_->OnDelayOver(); },
      1, 0);
}

void LoopWatch::KeepLoopAlive(bool alive) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&poll_);
  if (alive)
    uv_ref(handle);
  else
    uv_unref(handle);
}

void LoopWatch::Close() {
  listener_ = nullptr;
  if (open_handles_ == 0) {
    delete this;
    return;
  }
  const int handles = open_handles_;
  const auto closed = [](uv_handle_t* handle) {
    static_cast<LoopWatch*>(handle->data)->HandleClosed();
  };
  uv_close(reinterpret_cast<uv_handle_t*>(&idle_), closed);
  if (handles >= 2) uv_close(reinterpret_cast<uv_handle_t*>(&timer_), closed);
  if (handles == 3) uv_close(reinterpret_cast<uv_handle_t*>(&poll_), closed);
}

void LoopWatch::HandleClosed() {
  if (--open_handles_ > 0) return;
  if (released_) released_();
  delete this;
}

}  // namespace iserd
