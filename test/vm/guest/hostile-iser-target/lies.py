"""What a hostile target does when the command comes that moves the block at TRIGGER. One function per lie."""
import math

import pyverbs.enums as ib

import disk
import pdus
from rdma import RECEIVE_LENGTH, SEND_LENGTH, ConnectionLost

#: Byte offset on the disk of the block about which the target lies.
TRIGGER = 1 << 20

LIES = {}


def on(operation):
    """Registers a lie about the read or the write of the block; it returns True to have that executed after all."""

    def register(function):
        LIES[function.__name__.replace("_", "-")] = (operation, function)
        return function

    return register


class Lie:
    """One of them, told so many times; 0: always."""

    def __init__(self, name, times, say):
        self.is_meant, self.tell = LIES[name]
        self.left = times or math.inf
        self.say = say
        #: What becomes of the next connections; set by lies about them.
        self.at_connect = None
        #: MaxCmdSN in everything that is sent, once it is set.
        self.max_cmd_sn = None

    def is_told_about(self, request, session):
        """True when the command has been dealt with."""
        cdb = request.cdb
        if self.left == 0 or not self.is_meant(cdb) or disk.transfer(cdb)[0] != TRIGGER:
            return False
        self.left -= 1
        self.say("told")
        return not self.tell(session, request)

    def take_connect(self):
        """What becomes of this connection."""
        fate = self.at_connect
        if self.left == 0:
            self.at_connect = None
        return fate

    def end(self):
        """The truth from now on."""
        self.left = 0
        self.at_connect = None
        self.max_cmd_sn = None


def response(session, itt, **fields):
    """A SCSI Response that is right but for what the fields say."""
    return session.pdu(pdus.SCSI_RESPONSE, itt, **fields)


# Messages that are no PDUs, or PDUs about nothing.


@on(disk.is_read)
def noise(session, request):
    session.connection.send(b"\xff" * 200)


@on(disk.is_read)
def empty_message(session, request):
    session.connection.send(b"")


@on(disk.is_read)
def short_message(session, request):
    session.connection.send(response(session, request.itt)[: pdus.HEADERS - 1])


@on(disk.is_read)
def promised_data(session, request):
    """The header says more than there is in the message."""
    whole = response(session, request.itt, status=disk.CHECK_CONDITION, data=bytes(4096))
    session.connection.send(whole[: pdus.HEADERS + 20])


@on(disk.is_read)
def long_message(session, request):
    session.connection.send(response(session, request.itt).ljust(RECEIVE_LENGTH + 1000, b"\0"))


@on(disk.is_read)
def hello(session, request):
    session.connection.send(response(session, request.itt, kind=pdus.HELLO))


@on(disk.is_read)
def unknown_tag(session, request):
    session.connection.send(response(session, request.itt ^ 0x5A5A0000))


@on(disk.is_read)
def second_response(session, request):
    session.execute(request)
    session.respond(pdus.SCSI_RESPONSE, request.itt)


@on(disk.is_read)
def write_with_immediate(session, request):
    """Uses up a receive and puts nothing into it; the length would be a PDU's."""
    session.connection.rdma_write(
        session.disk_at, pdus.HEADERS, request.read_stag, request.read_address, ib.IBV_WR_RDMA_WRITE_WITH_IMM
    )


# RDMA where the initiator has allowed none, or another kind.


@on(disk.is_read)
def wrong_read_stag(session, request):
    session.connection.rdma_write(session.disk_at, 4096, request.read_stag ^ 0x00A5A5FF, request.read_address)


@on(disk.is_read)
def stag_zero(session, request):
    session.connection.rdma_write(session.disk_at, 4096, 0, request.read_address)


@on(disk.is_read)
def write_far_beyond(session, request):
    """Nothing that a whole arena's registration would cover, either."""
    session.connection.rdma_write(session.disk_at, 4096, request.read_stag, request.read_address + (1 << 33))


@on(disk.is_read)
def write_beyond_end(session, request):
    """One byte more than was asked for."""
    session.connection.rdma_write(session.disk_at, request.word20 + 1, request.read_stag, request.read_address)


@on(disk.is_read)
def write_before_start(session, request):
    session.connection.rdma_write(session.disk_at, 4096, request.read_stag, request.read_address - 1)


@on(disk.is_write)
def write_into_write_data(session, request):
    """The initiator has offered its data for reading."""
    session.connection.rdma_write(session.disk_at, 4096, request.write_stag, request.write_address)


@on(disk.is_write)
def read_far_beyond(session, request):
    session.connection.rdma_read(session.staging_at, 4096, request.write_stag, request.write_address + (1 << 33))


@on(disk.is_write)
def read_beyond_end(session, request):
    session.connection.rdma_read(session.staging_at, request.word20 + 1, request.write_stag, request.write_address)


@on(disk.is_read)
def write_after_response(session, request):
    """The memory may be somebody else's by now: the initiator has acknowledged the response."""
    session.execute(request)
    acknowledged = session.stat_sn
    later = request
    while later.expected_stat_sn < acknowledged:
        later = pdus.parse(session.connection.receive())
        session.handle(later)
    session.connection.rdma_write(session.staging_at, 4096, request.read_stag, request.read_address)


@on(disk.is_read)
def invalidate_wrong_stag(session, request):
    session.connection.send(response(session, request.itt), invalidated_key=request.read_stag ^ 0x00A5A5FF)


@on(disk.is_read)
def invalidate_read_stag(session, request):
    """The initiator has said that it cannot have that."""
    session.move(request)
    session.connection.send(response(session, request.itt), invalidated_key=request.read_stag)


# Answers that are wrong in substance.


@on(disk.is_read)
def disconnect_before_response(session, request):
    session.move(request)
    raise ConnectionLost("on purpose")


@on(disk.is_write)
def good_without_taking(session, request):
    session.good(request, request.word20)


@on(disk.is_read)
def too_large_residual(session, request):
    session.connection.send(response(session, request.itt, flags=0x82, residual=request.word20 + 1))


@on(disk.is_read)
def flood(session, request):
    """Far more messages at once than any initiator has receives for (RFC 7143 §11.19: NOP-In that wants no answer)."""
    for _ in range(2000):
        session.connection.send(session.pdu(pdus.NOP_IN, pdus.NO_TAG, word20=pdus.NO_TAG))
    return True


# Silence.


@on(disk.is_read)
def shut_window(session, request):
    """Nothing is taken any more but what has been sent: MaxCmdSN stays where it is."""
    session.lie.max_cmd_sn = session.expected_cmd_sn - 1
    return True


@on(disk.is_read)
def no_response(session, request):
    """To this one command; its abort is answered."""


@on(disk.is_read)
def silence(session, request):
    while True:
        session.connection.receive()


@on(disk.is_read)
def silent_login(session, request):
    session.lie.at_connect = "silence"
    raise ConnectionLost("on purpose")


@on(disk.is_read)
def rejected_connection(session, request):
    session.lie.at_connect = "reject"
    raise ConnectionLost("on purpose")


assert SEND_LENGTH > RECEIVE_LENGTH + 1000
