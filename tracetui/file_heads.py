"""What files of other formats begin with, and what a thing is that is no file: in plain words, with what to do."""

from __future__ import annotations

import stat

HEAD_BYTES = 512
"""So many of a file's first bytes tell what it is: a tar archive says it behind its first name."""
GGUF_MAGIC = b"GGUF"
_UNPACK = "unpack it first"
_DOWNLOAD = "the download was not the file"
_HEADS = {
    b"version https://git-lfs": "a git-lfs pointer, not the file itself; fetch it with `git lfs pull`",
    b"<?xml": f"an XML document; {_DOWNLOAD}",
    b"\x1f\x8b\x08": f"gzip-compressed; {_UNPACK}",
    b"BZh": f"bzip2-compressed; {_UNPACK}",
    b"\xfd7zXZ\0": f"xz-compressed; {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"zstd-compressed; {_UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"a 7z archive; {_UNPACK}",
    b"Rar!\x1a\x07": f"a RAR archive; {_UNPACK}",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG\r\n": "a PNG picture",
    b"GIF8": "a GIF picture",
    b"%PDF-": "a PDF document",
    b"\x7fELF": "a program or library",
    b"MZ\x90\0": "a program or library",
    **dict.fromkeys((b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe"), "a program or library"),
    b"\x89HDF\r\n": "an HDF5 file, which tracetui does not read; numpy.savez writes its arrays to one that is",
    b"PAR1": "a Parquet file, which tracetui does not read; numpy.savez writes its columns to one that is",
    b"ARROW1": "an Arrow file, which tracetui does not read; numpy.savez writes its columns to one that is",
    b"SQLite format 3\0": "a SQLite database",
    GGUF_MAGIC: "a GGUF file, which is a model and no more: `tracetui run` takes it as it is",
}
_PAGES = (b"<!doctype", b"<html")
_TAR, _TAR_AT = b"ustar", 257
_ONNX_FIELDS = (0x12, 0x1A, 0x22, 0x28, 0x3A, 0x42)
"""How its second field begins: who made it, the graph, or what it needs; the first is a small number."""
_THINGS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def foreign_kind(content: bytes) -> str:
    """What a file is that begins so, and what to do; empty where it may be what it should be."""
    if content[8:9] == b"{":
        return ""  # a safetensors file may begin with any length
    for head, meaning in _HEADS.items():
        if content.startswith(head):
            return meaning
    if content[:64].lstrip().lower().startswith(_PAGES):
        return f"an HTML page; {_DOWNLOAD}"
    if content[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        return f"a tar archive; {_UNPACK}"
    if len(content) > 2 and content[0] == 8 and 0 < content[1] < 32 and content[2] in _ONNX_FIELDS:
        return "an ONNX model, which tracetui does not read; the folder that it was exported from runs"
    return ""


def thing(mode: int) -> str:
    """What somebody's path leads to where that is no file: of the mode that the system tells."""
    return _THINGS.get(stat.S_IFMT(mode), "something else")
