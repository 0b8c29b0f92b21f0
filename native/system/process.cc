#include "system/process.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <string_view>

#include "reactor/unique_fd.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

namespace iserd {

namespace {

[[nodiscard]] bool Inherit(int fd) {
  const int flags = fcntl(fd, F_GETFD);
  return flags >= 0 && fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC) == 0;
}

}  // namespace

Result<void> LockMemory() {
  const std::unique_ptr<FILE, decltype(&fclose)> maps(fopen("/proc/self/maps", "re"), fclose);
  if (!maps) return LastError("open(/proc/self/maps)");
  // The kernel says [heap] of whatever begins where the heap ends, too: V8's code may, which must
  // not be locked, for V8 ends the process when it cannot give pages back.
  const auto heap_end = reinterpret_cast<uintptr_t>(sbrk(0));
  // start-end perms offset dev inode name
  char line[8192];
  while (fgets(line, sizeof line, maps.get()) != nullptr) {
    uintptr_t start = 0;
    uintptr_t end = 0;
    uint64_t inode = 0;
    char name[16] = "";
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %" SCNu64 " %15s", &start, &end, &inode,
               name) < 3)
      continue;
    const std::string_view kind(name);
    if (inode == 0 && kind != "[heap]" && kind != "[stack]") continue;
    if (kind == "[heap]") end = std::min(end, heap_end);
    if (start >= end) continue;
    if (mlock2(reinterpret_cast<void*>(start), end - start, MLOCK_ONFAULT) != 0)
      return LastError("mlock2");
  }
  return {};
}

Result<void> UnlockMemory() {
  if (munlockall() != 0) return LastError("munlockall");
  return {};
}

Result<void> SetIoFlusher() {
  if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) return LastError("prctl(PR_SET_IO_FLUSHER)");
  return {};
}

Result<void> SetOomScoreAdjust(int value) {
  const UniqueFd file(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (file.get() < 0) return LastError("open(/proc/self/oom_score_adj)");
  const std::string text = std::to_string(value);
  if (write(file.get(), text.data(), text.size()) < 0)
    return LastError("write(/proc/self/oom_score_adj)");
  return {};
}

Result<rlimit> MemlockLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return LastError("getrlimit");
  return limit;
}

Error Execute(const std::string& program, const std::vector<std::string>& arguments,
              const std::vector<int>& inherited) {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    // A closed one is nobody's loss.
    if (!Inherit(fd) && errno != EBADF) return LastError("fcntl(F_SETFD)");
  }
  for (const int fd : inherited) {
    if (!Inherit(fd)) return LastError("fcntl(F_SETFD)");
  }
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execve(program.c_str(), argv.data(), environ);
  return LastError("execve");
}

}  // namespace iserd
