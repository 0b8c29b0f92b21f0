#include "reactor/memory_region.h"

#include <cerrno>
#include <string>

namespace iserd {

Result<std::unique_ptr<MemoryRegion>> MemoryRegion::Register(std::shared_ptr<RdmaDevice> device,
                                                             const ArenaMapping& arena,
                                                             uint64_t offset, uint64_t length,
                                                             uint32_t access) {
  using namespace registration_access;
  constexpr const char* kCall = "ibv_reg_mr";
  if (length == 0 || !arena.Contains(offset, length))
    return Error{EFAULT, kCall, "range is outside the arena"};
  if ((access & ~(kLocalWrite | kRemoteRead | kRemoteWrite | kOnDemand)) != 0)
    return Error{EINVAL, kCall, "access mask " + std::to_string(access)};
  unsigned flags = 0;
  // A region that a peer may write must be writable here too: ibv_reg_mr(3).
  if ((access & (kLocalWrite | kRemoteWrite)) != 0) flags |= IBV_ACCESS_LOCAL_WRITE;
  if ((access & kRemoteRead) != 0) flags |= IBV_ACCESS_REMOTE_READ;
  if ((access & kRemoteWrite) != 0) flags |= IBV_ACCESS_REMOTE_WRITE;
  if ((access & kOnDemand) != 0) {
    // The kernel would say no more than EINVAL.
    if (Result<void> able = device->CheckOnDemandPaging(); !able.ok()) return able.error();
    flags |= IBV_ACCESS_ON_DEMAND;
  }
  ibv_mr* region = ibv_reg_mr(device->pd(), arena.base() + offset, length, flags);
  if (region == nullptr) return LastVerbsError(kCall);
  return std::make_unique<MemoryRegion>(std::move(device), region);
}

MemoryRegion::~MemoryRegion() {
  if (region_ != nullptr) ibv_dereg_mr(region_);
}

Result<void> MemoryRegion::Deregister() {
  if (const int status = ibv_dereg_mr(region_); status != 0) return Error{status, "ibv_dereg_mr"};
  region_ = nullptr;
  return {};
}

}  // namespace iserd
