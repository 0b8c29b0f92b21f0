// Maps a page right where the heap ends, locks memory, and prints which of heap and page are
// locked.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "system/process.h"

namespace iserd {

Error LastError(const char* syscall) { return Error{.number = errno, .syscall = syscall}; }

}  // namespace iserd

namespace {

bool IsLocked(const void* address) {
  FILE* maps = fopen("/proc/self/smaps", "re");
  if (maps == nullptr) return false;
  char line[8192];
  bool here = false;
  bool locked = false;
  while (fgets(line, sizeof line, maps) != nullptr) {
    unsigned long start = 0;
    unsigned long end = 0;
    const auto wanted = reinterpret_cast<uintptr_t>(address);
    if (sscanf(line, "%lx-%lx ", &start, &end) == 2) here = start <= wanted && wanted < end;
    if (here && strncmp(line, "VmFlags:", 8) == 0) locked = strstr(line, " lo") != nullptr;
  }
  fclose(maps);
  return locked;
}

}  // namespace

int main() {
  const void* on_heap = malloc(64);
  const auto end = (reinterpret_cast<uintptr_t>(sbrk(0)) + 4095) & ~uintptr_t{4095};
  void* page = mmap(reinterpret_cast<void*>(end), 4096, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (page == MAP_FAILED) return 1;
  const auto result = iserd::LockMemory();
  if (!result.ok()) {
    printf("errno %d\n", result.error().number);
    return 0;
  }
  const bool locked[] = {IsLocked(on_heap), IsLocked(page)};
  if (!iserd::UnlockMemory().ok()) return 1;
  printf("heap %d, beside it %d, then %d\n", locked[0], locked[1], IsLocked(on_heap));
  return 0;
}
