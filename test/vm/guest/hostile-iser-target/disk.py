"""A direct access logical unit over registered memory: as much of SPC and SBC as an initiator needs to use a disk."""
import struct

BLOCK = 512
GOOD, CHECK_CONDITION = 0, 2
INVALID_OPERATION, INVALID_FIELD, OUT_OF_RANGE = 0x2000, 0x2400, 0x2100
SERIAL = b"iserd-hostile-1"


def sense(code, key=5):
    """Fixed format, for the data segment of a SCSI Response: its length first."""
    fixed = bytes([0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code >> 8, code & 0xFF, 0, 0, 0, 0])
    return struct.pack(">H", len(fixed)) + fixed


class Refusal(Exception):
    """CHECK CONDITION, ILLEGAL REQUEST, with this additional sense code."""


def transfer(cdb):
    """(first byte, bytes) of a READ or WRITE, (10) or (16)."""
    lba, blocks = struct.unpack_from(">QI", cdb, 2) if cdb[0] & 0xE0 == 0x80 else struct.unpack_from(">IxH", cdb, 2)
    return lba * BLOCK, blocks * BLOCK


def is_read(cdb):
    return cdb[0] in (0x28, 0x88)


def is_write(cdb):
    return cdb[0] in (0x2A, 0x8A)


def answer(cdb, blocks):
    """Data of a command that moves no blocks."""
    operation = cdb[0]
    if operation in (0x00, 0x35, 0x91):  # TEST UNIT READY, SYNCHRONIZE CACHE
        return b""
    if operation == 0x12:
        return vital_page(cdb[2]) if cdb[1] & 1 else standard_inquiry()
    if operation == 0x9E and cdb[1] & 0x1F == 0x10:
        return struct.pack(">QI", blocks - 1, BLOCK) + bytes(20)
    if operation == 0x1A and cdb[2] & 0x3F in (0x08, 0x3F):
        page = bytes([0x08, 18]) + bytes(18)  # no write cache
        return bytes([3 + len(page), 0, 0, 0]) + page
    if operation == 0xA0:
        return struct.pack(">I", 8) + bytes(4) + bytes(8)
    raise Refusal(INVALID_OPERATION)


def standard_inquiry():
    return bytes([0, 0, 6, 2, 31, 0, 0, 2]) + b"ISERD   " + b"HOSTILE TARGET  " + b"1   "


def vital_page(page):
    if page == 0x00:
        body = bytes([0x00, 0x80, 0x83])
    elif page == 0x80:
        body = SERIAL
    elif page == 0x83:
        name = b"ISERD   " + SERIAL
        body = bytes([0x02, 0x01, 0, len(name)]) + name
    else:
        raise Refusal(INVALID_FIELD)
    return bytes([0, page]) + struct.pack(">H", len(body)) + body
