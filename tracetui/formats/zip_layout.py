"""The parts of a zip file, as its specification (PKWARE's APPNOTE 6.3.3) lays them out; all little endian."""

from __future__ import annotations

import struct

import numpy as np

LOCAL_HEADER = struct.Struct("<4s5H3I2H")
"""Signature, version needed, flags, method, time, date, CRC, stored size, size, name length, extra length."""
DIRECTORY_ENTRY = struct.Struct("<4s6H3I5H2I")
"""Signature, version made by, version needed, flags, method, time, date, CRC, stored size, size, name length,
extra length, comment length, disk, internal attributes, external attributes, offset of the local header."""
ENTRY_LENGTHS = struct.Struct("<4s24x3H")
"""Of such an entry: its signature, and the lengths of name, extra fields and comment."""
_ENTRY_FIELDS = {
    "signature": "S4",
    "made_by": "<u2",
    "needs": "<u2",
    "flags": "<u2",
    "method": "<u2",
    "time": "<u2",
    "date": "<u2",
    "crc": "<u4",
    "stored": "<u4",
    "size": "<u4",
    "name_length": "<u2",
    "extra_length": "<u2",
    "comment_length": "<u2",
    "disk": "<u2",
    "inner": "<u2",
    "outer": "<u4",
    "offset": "<u4",
}
ENTRY_DTYPE = np.dtype(list(_ENTRY_FIELDS.items()))
"""The same entry for many at once."""
END = struct.Struct("<4s4H2IH")
"""Signature, disk, directory's disk, entries on disk, entries, directory's size, its offset, comment length."""
END64 = struct.Struct("<4sQ2H2I4Q")
"""Signature, size of the rest, versions made by and needed, disk, directory's disk, entries on disk, entries,
directory's size, its offset."""
LOCATOR64 = struct.Struct("<4sIQI")
"""Signature, disk of the zip64 end record, its offset, number of disks."""
EXTRA = struct.Struct("<2H")
"""Kind and length of an extra field."""
ZIP64_SIZES = struct.Struct("<2Q")
"""Size and stored size in a local header's zip64 field."""

LOCAL_SIGNATURE = b"PK\x03\x04"
ENTRY_SIGNATURE = b"PK\x01\x02"
END_SIGNATURE = b"PK\x05\x06"
END64_SIGNATURE = b"PK\x06\x06"
LOCATOR64_SIGNATURE = b"PK\x06\x07"

STORED, DEFLATED = 0, 8
FULL16, FULL32 = 0xFFFF, 0xFFFFFFFF
"""A field with this value has its real number in a zip64 field."""
ZIP64_KIND = 0x0001
PADDING_KIND = 0xD935
"""Android's zipalign uses this kind for the same end."""
ALIGNMENT = 64

ENCRYPTED_FLAG = 0x0001
EFFORT_FLAGS = 0x0006
"""How hard whoever deflated a member tried: of no concern to a reader."""
TRAILING_SIZES_FLAG = 0x0008
UTF8_FLAG = 0x0800
