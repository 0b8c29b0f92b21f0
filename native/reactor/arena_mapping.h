#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "error.h"

namespace iserd {

// Owner of the arena's address range. Shared by the Arena object, its ArrayBuffer and every reactor
// on it; unmapped when the last of them lets go, so no socket call or queue pair can meet a hole.
// One thread, but for the final unmapping.
class ArenaMapping {
 public:
  // Offsets are uint32, hence the limit.
  static constexpr size_t kMaximumSize = 0xffe00000;

  [[nodiscard]] static Result<std::shared_ptr<ArenaMapping>> Map(size_t size, bool want_huge_pages);
  ArenaMapping(std::byte* base, size_t size, bool huge_pages)
      : base_(base), size_(size), huge_pages_(huge_pages) {}
  ArenaMapping(const ArenaMapping&) = delete;
  ArenaMapping& operator=(const ArenaMapping&) = delete;
  ~ArenaMapping();

  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool huge_pages() const { return huge_pages_; }
  [[nodiscard]] bool Contains(uint64_t offset, uint64_t length) const {
    return offset <= size_ && length <= size_ - offset;
  }

  // Gives the pages back; they read as zero afterwards. No registration may cover the range.
  Result<void> Discard(uint64_t offset, uint64_t length);

  // Reactors that are open on this arena: while there are some it must not be closed.
  int reactors = 0;

 private:
  std::byte* const base_;
  const size_t size_;
  const bool huge_pages_;
};

}  // namespace iserd
