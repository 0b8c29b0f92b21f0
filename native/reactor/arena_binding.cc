#include "reactor/arena_binding.h"

#include <cerrno>

#include "reactor/arguments.h"

namespace iserd {

Napi::Function ArenaBinding::Define(Napi::Env env) {
  return DefineClass(env, "Arena",
                     {InstanceAccessor<&ArenaBinding::Buffer>("buffer"),
                      InstanceAccessor<&ArenaBinding::Base>("base"),
                      InstanceAccessor<&ArenaBinding::HugePages>("hugePages"),
                      InstanceMethod<&ArenaBinding::Discard>("discard"),
                      InstanceMethod<&ArenaBinding::Close>("close")});
}

ArenaBinding::ArenaBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Arguments arguments(info);
  const uint64_t size = arguments.Size(0, "sizeBytes");
  if (!arguments.ok()) return;
  Result<std::shared_ptr<ArenaMapping>> mapping = ArenaMapping::Map(size, info[1].ToBoolean());
  if (!mapping.ok()) {
    Throw(info.Env(), mapping.error());
    return;
  }
  mapping_ = mapping.value();
  // The buffer's own share: a view that outlives this object still looks at memory.
  auto share = std::make_unique<std::shared_ptr<ArenaMapping>>(mapping_);
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(
      info.Env(), mapping_->base(), mapping_->size(),
      [](Napi::Env, void*, std::shared_ptr<ArenaMapping>* held) { delete held; }, share.release());
  buffer_ = Napi::Persistent(buffer);
}

Napi::Value ArenaBinding::Buffer(const Napi::CallbackInfo&) { return buffer_.Value(); }

Napi::Value ArenaBinding::Base(const Napi::CallbackInfo& info) {
  const uint64_t base = mapping_ == nullptr ? 0 : reinterpret_cast<uintptr_t>(mapping_->base());
  return Napi::BigInt::New(info.Env(), base);
}

Napi::Value ArenaBinding::HugePages(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), mapping_ != nullptr && mapping_->huge_pages());
}

void ArenaBinding::Discard(const Napi::CallbackInfo& info) {
  Arguments arguments(info);
  const uint64_t offset = arguments.Size(0, "offset");
  const uint64_t length = arguments.Size(1, "length");
  if (!arguments.ok()) return;
  if (mapping_ == nullptr) return Throw(info.Env(), {EBADF, "madvise", "the arena is closed"});
  if (Result<void> discarded = mapping_->Discard(offset, length); !discarded.ok())
    Throw(info.Env(), discarded.error());
}

void ArenaBinding::Close(const Napi::CallbackInfo& info) {
  if (mapping_ == nullptr) return;
  if (mapping_->reactors > 0)
    return Throw(info.Env(), {EBUSY, "munmap", "a reactor is open on the arena"});
  buffer_.Value().Detach();  // views read as empty from here on, instead of as freed memory
  mapping_.reset();
}

}  // namespace iserd
