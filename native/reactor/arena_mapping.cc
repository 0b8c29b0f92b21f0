#include "reactor/arena_mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

namespace iserd {

namespace {

constexpr size_t kHugePageSize = size_t{2} << 20;

size_t RoundUp(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

Result<std::shared_ptr<ArenaMapping>> ArenaMapping::Map(size_t size, bool want_huge_pages) {
  if (size == 0 || size > kMaximumSize)
    return Error{EINVAL, "mmap",
                 "arena size must be between 1 and " + std::to_string(kMaximumSize) + " bytes"};
  const size_t unit = want_huge_pages ? kHugePageSize : static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t length = RoundUp(size, unit);
  void* base = MAP_FAILED;
  // Without MAP_NORESERVE: a huge page that is not there would be a SIGBUS at first touch, reserved
  // ones cannot fail.
  if (want_huge_pages)
    base = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
                -1, 0);
  const bool huge_pages = base != MAP_FAILED;
  if (!huge_pages)
    base = mmap(nullptr, length, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return LastError("mmap");
  // Advice only: a kernel without transparent huge pages refuses it and nothing is lost.
  if (want_huge_pages && !huge_pages) madvise(base, length, MADV_HUGEPAGE);
  auto mapping = std::make_shared<ArenaMapping>(static_cast<std::byte*>(base), length, huge_pages);
  // A child must not share pages that a device writes to: copy-on-write would move ours away from
  // under it.
  if (madvise(base, length, MADV_DONTFORK) != 0) return LastError("madvise");
  // Request buffers stay out of swap as far as RLIMIT_MEMLOCK or CAP_IPC_LOCK allows; untouched
  // pages stay unallocated.
  static_cast<void>(mlock2(base, length, MLOCK_ONFAULT));
  return mapping;
}

ArenaMapping::~ArenaMapping() { munmap(base_, size_); }

Result<void> ArenaMapping::Discard(uint64_t offset, uint64_t length) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (!Contains(offset, length)) return Error{EFAULT, "madvise", "range is outside the arena"};
  if (offset % page != 0 || length % page != 0)
    return Error{EINVAL, "madvise", "range is not page aligned"};
  if (length == 0) return {};
  if (huge_pages_ && (offset % kHugePageSize != 0 || length % kHugePageSize != 0)) {
    memset(base_ + offset, 0, length);  // part of a huge page cannot be given back
    return {};
  }
  if (madvise(base_ + offset, length, MADV_DONTNEED) == 0) return {};
  if (errno != EINVAL) return LastError("madvise");
  // Locked memory. Kernels before 5.18 give none of it back.
  if (madvise(base_ + offset, length, MADV_DONTNEED_LOCKED) != 0) {
    if (errno != EINVAL) return LastError("madvise");
    memset(base_ + offset, 0, length);
  }
  return {};
}

}  // namespace iserd
