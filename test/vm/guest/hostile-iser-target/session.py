"""A normal session with a polite target, which asks its lie about every command."""
import struct

import disk
import pdus
from rdma import ConnectionLost

#: Values that the target insists on or adds; every other key is agreed to as it was proposed.
OWN_VALUES = {"RDMAExtensions": "Yes", "HeaderDigest": "None", "DataDigest": "None", "AuthMethod": "None"}
#: Declared by the initiator: they need no answer.
DECLARATIONS = {"InitiatorName", "InitiatorAlias", "TargetName", "SessionType"}
WINDOW = 64


class Session:
    def __init__(self, connection, lie):
        self.connection = connection
        self.memory = connection.listener.memory
        self.disk_at = connection.listener.disk_at
        self.staging_at = connection.listener.staging_at
        self.disk_length = connection.listener.disk_length
        self.lie = lie
        self.stat_sn = 1000
        self.expected_cmd_sn = 0
        self.window = WINDOW

    def run(self):
        """Until the connection is lost."""
        self.log_in()
        while True:
            self.handle(pdus.parse(self.connection.receive()))

    def respond(self, opcode, itt, **fields):
        """Sends a PDU that bears a StatSN."""
        message = self.pdu(opcode, itt, **fields)
        self.stat_sn += 1
        self.connection.send(message)

    def pdu(
        self, opcode, itt, flags=0x80, status=0, data=b"", word20=0, residual=0, lun=bytes(8), kind=pdus.CONTROL_TYPE
    ):
        maximum = self.lie.max_cmd_sn
        if maximum is None:
            maximum = self.expected_cmd_sn + self.window - 1
        bhs = struct.pack(
            ">BBBBI8sIIIIIIII",
            opcode, flags, 0, status, len(data), lun, itt, word20,
            self.stat_sn, self.expected_cmd_sn, maximum & 0xFFFFFFFF, 0, 0, residual,
        )
        return pdus.iser_header(kind) + bhs + data

    def log_in(self):
        while True:
            request = pdus.parse(self.connection.receive())
            if request.opcode != pdus.LOGIN:
                raise ConnectionLost(f"opcode {request.opcode:#x} before the login")
            self.expected_cmd_sn = request.cmd_sn
            self.window = 1
            proposed = pdus.parse_text(request.data)
            keys = {key: OWN_VALUES.get(key, value) for key, value in proposed.items() if key not in DECLARATIONS}
            isid_tsih = request.bhs[8:14] + b"\0\x07"
            self.respond(pdus.LOGIN_RESPONSE, request.itt, flags=request.flags, data=pdus.text(keys), lun=isid_tsih)
            if request.flags & 0x83 == 0x83:
                self.window = WINDOW
                return

    def handle(self, request):
        if not request.immediate:
            self.expected_cmd_sn = request.cmd_sn + 1 & 0xFFFFFFFF
        if request.opcode == pdus.NOP_OUT:
            if request.itt != pdus.NO_TAG:
                self.respond(pdus.NOP_IN, request.itt, word20=pdus.NO_TAG)
        elif request.opcode == pdus.TASK_MANAGEMENT:
            self.respond(pdus.TASK_MANAGEMENT_RESPONSE, request.itt)
        elif request.opcode == pdus.LOGOUT:
            self.respond(pdus.LOGOUT_RESPONSE, request.itt)
        elif request.opcode == pdus.SCSI_COMMAND:
            if not self.lie.is_told_about(request, self):
                self.execute(request)
        else:
            raise ConnectionLost(f"opcode {request.opcode:#x}")

    def execute(self, request):
        try:
            self.good(request, self.move(request))
        except disk.Refusal as refusal:
            self.respond(
                pdus.SCSI_RESPONSE, request.itt, status=disk.CHECK_CONDITION, data=disk.sense(refusal.args[0])
            )

    def good(self, request, moved):
        """Answers with GOOD; `moved`: how many bytes of its data."""
        missing = request.word20 - moved
        self.respond(pdus.SCSI_RESPONSE, request.itt, flags=0x82 if missing > 0 else 0x80, residual=missing)

    def move(self, request):
        """Moves the data of a command; returns how many bytes."""
        cdb = request.cdb
        if disk.is_read(cdb) or disk.is_write(cdb):
            return self.move_blocks(request)
        data = disk.answer(cdb, self.disk_length // disk.BLOCK)[: request.word20]
        if data:
            self.memory.write(data, len(data), self.staging_at)
            self.connection.rdma_write(self.staging_at, len(data), request.read_stag, request.read_address)
        return len(data)

    def move_blocks(self, request):
        start, length = disk.transfer(request.cdb)
        if start + length > self.disk_length:
            raise disk.Refusal(disk.OUT_OF_RANGE)
        at = self.disk_at + start
        if disk.is_read(request.cdb):
            if length:
                self.connection.rdma_write(at, length, request.read_stag, request.read_address)
            return length
        immediate = len(request.data)
        if immediate:
            self.memory.write(request.data, immediate, at)
        if length > immediate:
            self.connection.rdma_read(at + immediate, length - immediate, request.write_stag, request.write_address)
        return length
