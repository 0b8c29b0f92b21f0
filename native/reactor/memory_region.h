#pragma once

#include <infiniband/verbs.h>

#include <cstdint>
#include <memory>

#include "error.h"
#include "reactor/rdma_device.h"

namespace iserd {

// A registered range of the arena. JavaScript thread; owned by the reactor's table of regions,
// outlives the queue pairs that use it. Registration and deregistration are system calls that pin
// and unpin pages; a region with on-demand paging pins none.
class MemoryRegion {
 public:
  // `access` is a mask of registration_access.
  [[nodiscard]] static Result<std::unique_ptr<MemoryRegion>> Register(
      std::shared_ptr<RdmaDevice> device, const ArenaMapping& arena, uint64_t offset,
      uint64_t length, uint32_t access);
  MemoryRegion(std::shared_ptr<RdmaDevice> device, ibv_mr* region)
      : device_(std::move(device)), region_(region) {}
  MemoryRegion(const MemoryRegion&) = delete;
  MemoryRegion& operator=(const MemoryRegion&) = delete;
  ~MemoryRegion();

  [[nodiscard]] uint32_t lkey() const { return region_->lkey; }
  [[nodiscard]] uint32_t rkey() const { return region_->rkey; }
  Result<void> Deregister();

 private:
  std::shared_ptr<RdmaDevice> device_;  // keeps the protection domain
  ibv_mr* region_;
};

}  // namespace iserd
