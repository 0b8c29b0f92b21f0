#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace iserd {

// Owns objects that TypeScript names by number: index in the low `IndexBits`, generation above, so
// that a number outlives its object harmlessly. A generation starts at 1, hence 0 names nothing.
// One thread; owned by the reactor.
template <class T, unsigned IndexBits>
class ObjectTable {
 public:
  static constexpr size_t kCapacity = size_t{1} << IndexBits;

  // The new object's id, or 0 when the table is full.
  [[nodiscard]] uint32_t Insert(std::unique_ptr<T> object) {
    if (free_.empty()) {
      if (slots_.size() == kCapacity) return 0;
      free_.push_back(static_cast<uint32_t>(slots_.size()));
      slots_.emplace_back();
    }
    const uint32_t index = free_.back();
    free_.pop_back();
    slots_[index].object = std::move(object);
    ++size_;
    return Id(index);
  }

  [[nodiscard]] T* Find(uint32_t id) const {
    const uint32_t index = id & (kCapacity - 1);
    return index < slots_.size() && Id(index) == id ? slots_[index].object.get() : nullptr;
  }

  // Takes the object out; its id is void from here on. Null when there is none.
  [[nodiscard]] std::unique_ptr<T> Remove(uint32_t id) {
    if (Find(id) == nullptr) return nullptr;
    const uint32_t index = id & (kCapacity - 1);
    Slot& slot = slots_[index];
    slot.generation = slot.generation == kGenerationLimit - 1 ? 1 : slot.generation + 1;
    free_.push_back(index);
    --size_;
    return std::move(slot.object);
  }

  [[nodiscard]] size_t size() const { return size_; }

  // `visit` must not insert or remove.
  template <class Visitor>
  void ForEach(Visitor visit) const {
    for (const Slot& slot : slots_)
      if (slot.object) visit(*slot.object);
  }

  // Id of some object, newest index first; 0 when empty.
  [[nodiscard]] uint32_t Last() const {
    for (size_t i = slots_.size(); i-- > 0;)
      if (slots_[i].object) return Id(static_cast<uint32_t>(i));
    return 0;
  }

 private:
  static constexpr uint32_t kGenerationLimit = uint32_t{1} << (32 - IndexBits);
  struct Slot {
    std::unique_ptr<T> object;
    uint32_t generation = 1;
  };

  [[nodiscard]] uint32_t Id(uint32_t index) const {
    return slots_[index].generation << IndexBits | index;
  }

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  size_t size_ = 0;
};

}  // namespace iserd
