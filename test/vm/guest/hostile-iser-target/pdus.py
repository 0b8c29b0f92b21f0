"""Control-type PDUs as a target sees them (RFC 7143 §11, RFC 7145 §9)."""
import struct
from dataclasses import dataclass

ISER_HEADER, BHS = 28, 48
HEADERS = ISER_HEADER + BHS
CONTROL_TYPE, HELLO = 0x10, 0x20
NO_TAG = 0xFFFFFFFF

NOP_OUT, SCSI_COMMAND, TASK_MANAGEMENT, LOGIN, LOGOUT = 0x00, 0x01, 0x02, 0x03, 0x06
NOP_IN, SCSI_RESPONSE, TASK_MANAGEMENT_RESPONSE, LOGIN_RESPONSE, LOGOUT_RESPONSE = 0x20, 0x21, 0x22, 0x23, 0x26


@dataclass
class Request:
    opcode: int
    immediate: bool
    flags: int
    itt: int
    #: Bytes 20-23: expected data transfer length of a SCSI command.
    word20: int
    cmd_sn: int
    bhs: bytes
    data: bytes
    write_stag: int
    write_address: int
    read_stag: int
    read_address: int

    @property
    def expected_stat_sn(self):
        return int.from_bytes(self.bhs[28:32], "big")

    @property
    def cdb(self):
        return self.bhs[32:48]


def parse(message):
    write_stag, write_address, read_stag, read_address = struct.unpack_from(">IQIQ", message, 4)
    bhs = message[ISER_HEADER:HEADERS]
    itt, word20, cmd_sn = struct.unpack_from(">III", bhs, 16)
    length = int.from_bytes(bhs[5:8], "big")
    return Request(
        bhs[0] & 0x3F, bhs[0] & 0x40 != 0, bhs[1], itt, word20, cmd_sn, bhs, message[HEADERS : HEADERS + length],
        write_stag, write_address, read_stag, read_address,
    )


def iser_header(kind=CONTROL_TYPE):
    return bytes([kind]) + bytes(ISER_HEADER - 1)


def parse_text(data):
    return dict(pair.split("=", 1) for pair in data.decode().split("\0") if pair)


def text(keys):
    return "".join(f"{key}={value}\0" for key, value in keys.items()).encode()
