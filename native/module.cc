#include "reactor/module.h"

#include <napi.h>

#include "reactor/arena_binding.h"
#include "reactor/layout.h"
#include "reactor/reactor_binding.h"
#if __has_include("system/system.h")
#include "system/system.h"
#endif

namespace iserd {

Module::Module(Napi::Env env) {
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle hook, void* self) {
        static_cast<Module*>(self)->OnEnvironmentEnd(hook);
      },
      this, nullptr);
}

void Module::HandleReleased() {
  --open_handles_;
  if (open_handles_ == 0 && ending_ != nullptr)
    napi_remove_async_cleanup_hook(std::exchange(ending_, nullptr));
}

void Module::OnEnvironmentEnd(napi_async_cleanup_hook_handle hook) {
  while (!closables_.empty()) {
    Closable* newest = closables_.back();
    closables_.pop_back();
    newest->CloseForExit();
  }
  if (open_handles_ == 0)
    napi_remove_async_cleanup_hook(hook);
  else
    ending_ = hook;
}

namespace {

// Constants of layout.h by the names that src/reactor/layout.ts gives them.
Napi::Value Layout(const Napi::CallbackInfo& info) {
  Napi::Object layout = Napi::Object::New(info.Env());
  const auto set = [&](const char* name, uint32_t value) {
    layout.Set(name, Napi::Number::New(info.Env(), value));
  };
  set("submissionWords", kSubmissionWords);
  set("completionWords", kCompletionWords);
  const auto word = [](size_t bytes) { return static_cast<uint32_t>(bytes / sizeof(uint32_t)); };
  set("SubmissionWord.operation", word(offsetof(Submission, operation)));
  set("SubmissionWord.object", word(offsetof(Submission, object)));
  set("SubmissionWord.tag", word(offsetof(Submission, tag)));
  set("SubmissionWord.offset", word(offsetof(Submission, offset)));
  set("SubmissionWord.length", word(offsetof(Submission, length)));
  set("SubmissionWord.key", word(offsetof(Submission, key)));
  set("SubmissionWord.offset2", word(offsetof(Submission, offset2)));
  set("SubmissionWord.length2", word(offsetof(Submission, length2)));
  set("SubmissionWord.key2", word(offsetof(Submission, key2)));
  set("SubmissionWord.flags", word(offsetof(Submission, flags)));
  set("SubmissionWord.minimumLength", word(offsetof(Submission, minimum_length)));
  set("CompletionWord.kind", word(offsetof(Completion, kind)));
  set("CompletionWord.object", word(offsetof(Completion, object)));
  set("CompletionWord.tag", word(offsetof(Completion, tag)));
  set("CompletionWord.result", word(offsetof(Completion, result)));
  set("CompletionWord.status", word(offsetof(Completion, status)));
  set("CompletionWord.detail", word(offsetof(Completion, detail)));
  set("CompletionWord.detail2", word(offsetof(Completion, detail2)));
  set("controlWords", kControlWords);
  set("ControlWord.gatherMicroseconds", word(offsetof(Control, gather_microseconds)));
  set("ControlWord.spinMicroseconds", word(offsetof(Control, spin_microseconds)));
  set("Operation.receive", operation::kReceive);
  set("Operation.send", operation::kSend);
  set("Operation.rdmaSend", operation::kRdmaSend);
  set("Operation.rdmaReceive", operation::kRdmaReceive);
  set("Operation.cancelReceive", operation::kCancelReceive);
  set("SubmissionFlag.notify", submission_flag::kNotify);
  set("SubmissionFlag.inline", submission_flag::kInline);
  set("CompletionKind.receive", completion_kind::kReceive);
  set("CompletionKind.send", completion_kind::kSend);
  set("CompletionKind.accept", completion_kind::kAccept);
  set("CompletionKind.connect", completion_kind::kConnect);
  set("CompletionKind.rdmaSend", completion_kind::kRdmaSend);
  set("CompletionKind.rdmaReceive", completion_kind::kRdmaReceive);
  set("CompletionKind.cmEvent", completion_kind::kCmEvent);
  set("CompletionKind.deviceEvent", completion_kind::kDeviceEvent);
  set("endOfFile", kEndOfFile);
  return layout;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(std::make_unique<Module>(env).release());
  exports.Set("Arena", ArenaBinding::Define(env));
  exports.Set("Reactor", ReactorBinding::Define(env));
  exports.Set("layout", Napi::Function::New(env, Layout, "layout"));
#if __has_include("system/system.h")
  exports.Set("system", CreateSystem(env));
#endif
  return exports;
}

}  // namespace

NODE_API_MODULE(iserd, Init)

}  // namespace iserd
