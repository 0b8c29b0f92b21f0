"""The passive side of RDMA connections, one at a time: connection manager, queue pair, completions."""
import os
import select

import pyverbs.cm_enums as cm
import pyverbs.enums as ib
from pyverbs.cmid import CMID, AddrInfo, CMEvent, CMEventChannel, ConnParam
from pyverbs.cq import CQ, CompChannel
from pyverbs.device import Context
from pyverbs.mr import MR
from pyverbs.pd import PD
from pyverbs.qp import QP, QPCap, QPInitAttr
from pyverbs.wr import SGE, RecvWR, SendWR

RECEIVES, RECEIVE_LENGTH = 128, 8448
SENDS, SEND_LENGTH = 64, 16384
STAGING_LENGTH = 1 << 20
#: What the disk is full of.
INITIAL_BYTE = 0xD5
#: Zero-based virtual addresses and send with invalidate are not supported (InfiniBand Architecture, Annex A12).
PRIVATE_DATA = b"\xc0\0\0\0"
STATUS_NAMES = {
    value: name.removeprefix("IBV_WC_")
    for name, value in vars(ib).items()
    if name.startswith("IBV_WC_") and name.endswith("_ERR")
}
#: wr_id of an RDMA operation; receives have their slot, sends RECEIVES + their slot.
OPERATION = 1 << 20


class ConnectionLost(Exception):
    """The connection has ended; the text says why."""


def open_descriptors():
    return {int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}


def with_descriptor(make):
    """What `make` makes, and the one descriptor that it has opened: the binding does not tell."""
    before = open_descriptors()
    made = make()
    (opened,) = open_descriptors() - before
    return made, opened


def wait_for(*descriptors):
    """Those that can be read. Unlike the calls of the bindings this one lets signals in."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll()]


class Listener:
    """Takes connection requests and holds what outlives connections: protection domain and registered memory."""

    def __init__(self, address, port, disk_length):
        self.channel, self.channel_fd = with_descriptor(CMEventChannel)
        self.id = CMID(creator=self.channel, port_space=cm.RDMA_PS_TCP)
        info = AddrInfo(src=address, src_service=str(port), port_space=cm.RDMA_PS_TCP, flags=cm.RAI_PASSIVE)
        self.id.bind_addr(info)
        self.id.listen()
        # Not the identifier's own: closing the identifier of a connection closes that one, too.
        self.context = Context(name=self.id.context.name)
        self.domain = PD(self.context)
        self.completions, self.completions_fd = with_descriptor(lambda: CompChannel(self.context))
        self.sends_at = RECEIVES * RECEIVE_LENGTH
        self.staging_at = self.sends_at + SENDS * SEND_LENGTH
        self.disk_at = self.staging_at + STAGING_LENGTH
        self.memory = MR(self.domain, self.disk_at + disk_length, ib.IBV_ACCESS_LOCAL_WRITE)
        self.disk_length = disk_length
        self.memory.write(bytes([INITIAL_BYTE]) * disk_length, disk_length, self.disk_at)
        #: A request that came while another connection was served.
        self.request = None

    def take_event(self):
        """Number of the next event of the connection manager; a request is kept."""
        event = CMEvent(self.channel)
        kind = event.event_type
        if kind == cm.RDMA_CM_EVENT_CONNECT_REQUEST:
            self.request = CMID(creator=event, listen_id=self.id)
        event.ack_cm_event()
        return kind

    def next_request(self):
        while self.request is None:
            wait_for(self.channel_fd)
            self.take_event()
        request, self.request = self.request, None
        return request


class Connection:
    """An accepted connection. Sends return when posted, RDMA operations when they are complete."""

    def __init__(self, listener, request):
        self.listener = listener
        self.id = request
        self.received = []
        self.free_sends = list(range(SENDS))
        self.operation_status = None
        self.queue = CQ(listener.context, 4 * (RECEIVES + SENDS), None, listener.completions, 0)
        capabilities = QPCap(max_send_wr=2 * SENDS, max_recv_wr=RECEIVES, max_send_sge=1, max_recv_sge=1)
        self.pair = QP(
            listener.domain,
            QPInitAttr(qp_type=ib.IBV_QPT_RC, scq=self.queue, rcq=self.queue, cap=capabilities, sq_sig_all=1),
        )
        for state in (ib.IBV_QPS_INIT, ib.IBV_QPS_RTR, ib.IBV_QPS_RTS):
            self.pair.modify(*self.id.init_qp_attr(state))
        for slot in range(RECEIVES):
            self.post_receive(slot)
        parameters = ConnParam(
            resources=1, depth=16, retry=6, rnr_retry=7, qp_num=self.pair.qp_num, data_len=len(PRIVATE_DATA)
        )
        parameters.set_private_data(PRIVATE_DATA)
        self.id.accept(parameters)

    def close(self):
        try:
            self.id.disconnect()
        except Exception:
            pass  # the peer was first
        self.pair.close()
        self.queue.close()
        self.id.close()

    def post_receive(self, slot):
        memory = self.listener.memory
        piece = SGE(memory.buf + slot * RECEIVE_LENGTH, RECEIVE_LENGTH, memory.lkey)
        self.pair.post_recv(RecvWR(wr_id=slot, num_sge=1, sg=[piece]))

    def receive(self):
        """The next message."""
        while not self.received:
            self.wait()
        slot, length = self.received.pop(0)
        message = self.listener.memory.read(length, slot * RECEIVE_LENGTH)
        self.post_receive(slot)
        return message

    def send(self, message, invalidated_key=None):
        while not self.free_sends:
            self.wait()
        slot = self.free_sends.pop()
        offset = self.listener.sends_at + slot * SEND_LENGTH
        memory = self.listener.memory
        if message:
            memory.write(message, len(message), offset)
        request = SendWR(
            wr_id=RECEIVES + slot,
            opcode=ib.IBV_WR_SEND if invalidated_key is None else ib.IBV_WR_SEND_WITH_INV,
            num_sge=1,
            sg=[SGE(memory.buf + offset, len(message), memory.lkey)],
            send_flags=ib.IBV_SEND_SIGNALED,
        )
        if invalidated_key is not None:
            # The key has its place where immediate data has it, which the binding swaps.
            request.imm_data = int.from_bytes(invalidated_key.to_bytes(4, "little"), "big")
        self.pair.post_send(request)

    def rdma_write(self, offset, length, key, address, opcode=ib.IBV_WR_RDMA_WRITE):
        self.operate(opcode, offset, length, key, address)

    def rdma_read(self, offset, length, key, address):
        self.operate(ib.IBV_WR_RDMA_READ, offset, length, key, address)

    def operate(self, opcode, offset, length, key, address):
        """Between our memory at `offset` and the peer's."""
        memory = self.listener.memory
        request = SendWR(
            wr_id=OPERATION,
            opcode=opcode,
            num_sge=1,
            sg=[SGE(memory.buf + offset, length, memory.lkey)],
            send_flags=ib.IBV_SEND_SIGNALED,
        )
        request.set_wr_rdma(key, address)
        self.operation_status = None
        self.pair.post_send(request)
        while self.operation_status is None:
            self.wait()

    def wait(self):
        """Returns when something may have happened; raises ConnectionLost when that is the end."""
        if self.take_completions():
            return
        self.queue.req_notify()
        if self.take_completions():
            return
        ready = wait_for(self.listener.completions_fd, self.listener.channel_fd)
        if self.listener.completions_fd in ready:
            self.listener.completions.get_cq_event(self.queue)
            self.queue.ack_events(1)
        if self.listener.channel_fd in ready:
            kind = self.listener.take_event()
            if kind == cm.RDMA_CM_EVENT_DISCONNECTED:
                # What has failed says more than that the peer has gone.
                self.take_completions()
                raise ConnectionLost("disconnected")
            if kind == cm.RDMA_CM_EVENT_CONNECT_REQUEST:
                raise ConnectionLost("the initiator connects anew")

    def take_completions(self):
        taken, completions = self.queue.poll(64)
        for completion in completions:
            self.on_completion(completion)
        return taken > 0

    def on_completion(self, completion):
        number, status = completion.wr_id, completion.status
        if status != ib.IBV_WC_SUCCESS:
            raise ConnectionLost(STATUS_NAMES.get(status, f"status {status}"))
        if number == OPERATION:
            self.operation_status = status
        elif number >= RECEIVES:
            self.free_sends.append(number - RECEIVES)
        else:
            self.received.append((number, completion.byte_len))
