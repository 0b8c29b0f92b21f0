#pragma once

#include <sys/resource.h>

#include <string>
#include <vector>

#include "error.h"

namespace iserd {

// Program, libraries, stack and C++ heap as they are mapped now: what is in memory stays there, and
// so does every page that is touched from now on; pages never touched stay unallocated
// (MLOCK_ONFAULT). Not V8's memory: V8 gives pages back one by one, which the kernel refuses for
// locked ones (madvise(2), EINVAL), and ends the process for that. Arenas lock themselves.
[[nodiscard]] Result<void> LockMemory();
// Of everything, arenas too.
[[nodiscard]] Result<void> UnlockMemory();

// PR_SET_IO_FLUSHER (Linux 5.6, CAP_SYS_RESOURCE): memory reclaim on behalf of this thread, and of
// every thread and program it starts later, does not wait for I/O that the process itself must
// serve.
[[nodiscard]] Result<void> SetIoFlusher();

// /proc/self/oom_score_adj, -1000 to 1000.
[[nodiscard]] Result<void> SetOomScoreAdjust(int value);

[[nodiscard]] Result<rlimit> MemlockLimit();

// execve(2) with the present environment. Standard input, output and error and `inherited` go
// along: Node.js marks every fd it was started with close-on-exec. Returns only on failure.
[[nodiscard]] Error Execute(const std::string& program, const std::vector<std::string>& arguments,
                            const std::vector<int>& inherited);

}  // namespace iserd
