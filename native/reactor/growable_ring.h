#pragma once

#include <cstddef>
#include <vector>

namespace iserd {

// A first-in first-out queue in one block that doubles when it is full, so that steady state
// allocates nothing. One thread; owned by the object it is a member of. Capacity is a power of two.
template <class T>
class GrowableRing {
 public:
  explicit GrowableRing(size_t capacity_log2) : entries_(size_t{1} << capacity_log2) {}

  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] T& operator[](size_t index) {
    return entries_[(head_ + index) & (entries_.size() - 1)];
  }
  [[nodiscard]] T& front() { return (*this)[0]; }

  void Push(const T& entry) {
    if (size_ == entries_.size()) Grow();
    (*this)[size_++] = entry;
  }

  void Pop() {
    head_ = (head_ + 1) & (entries_.size() - 1);
    --size_;
  }

  // Drops entries for which `drop` holds; the order of the others stays.
  template <class Predicate>
  void RemoveIf(Predicate drop) {
    size_t kept = 0;
    for (size_t i = 0; i < size_; ++i)
      if (!drop((*this)[i])) (*this)[kept++] = (*this)[i];
    size_ = kept;
  }

 private:
  void Grow() {
    std::vector<T> larger(entries_.size() * 2);
    for (size_t i = 0; i < size_; ++i) larger[i] = (*this)[i];
    entries_ = std::move(larger);
    head_ = 0;
  }

  std::vector<T> entries_;
  size_t head_ = 0;
  size_t size_ = 0;
};

}  // namespace iserd
