/** Numbers of librdmacm and libibverbs that a connection reacts to, and how a connection ends by them. */

/** rdma_cm_event_type of <rdma/rdma_cma.h>. */
export const CmEvent = {
  addressResolved: 0,
  addressError: 1,
  routeResolved: 2,
  routeError: 3,
  connectError: 6,
  unreachable: 7,
  rejected: 8,
  established: 9,
  disconnected: 10,
  deviceRemoval: 11,
  addressChange: 14,
  timewaitExit: 15,
} as const;

/** ibv_event_type of <infiniband/verbs.h>: only those after which the queue pair is of no use. */
export const DeviceEvent = {
  completionQueueError: 0,
  queuePairFatal: 1,
  queuePairRequestError: 2,
  queuePairAccessError: 3,
  deviceFatal: 8,
} as const;

export const workCompletionSuccess = 0;
/** The queue pair was in error before this work request had its turn: a consequence, never the cause. */
export const workCompletionFlushed = 5;

/** ibv_wc_status by number, without the IBV_WC_ prefix. */
const statusNames = [
  'SUCCESS',
  'LOC_LEN_ERR',
  'LOC_QP_OP_ERR',
  'LOC_EEC_OP_ERR',
  'LOC_PROT_ERR',
  'WR_FLUSH_ERR',
  'MW_BIND_ERR',
  'BAD_RESP_ERR',
  'LOC_ACCESS_ERR',
  'REM_INV_REQ_ERR',
  'REM_ACCESS_ERR',
  'REM_OP_ERR',
  'RETRY_EXC_ERR',
  'RNR_RETRY_EXC_ERR',
] as const;

export function statusName(status: number): string {
  return statusNames[status] ?? `status ${status}`;
}
