"""A sound file made unsound: at any byte, or in what its form says, with its lengths and checksums put right again."""

from __future__ import annotations

import copy
import json
import re
import struct
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

from tests.recording.npz.raw import Part, deflated, pack, text_npy

Mutate = Callable[[Random, bytes], bytes]

ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        7,
        255,
        256,
        65_536,
        2**31,
        2**53,
        2**63,
        2**64,
        -(2**70),
        0.5,
        -0.0,
        1e300,
        1e999,
    ),
    *("", "x", "a" * 300, "\x1b[31m", "\u202e", "\x00", "../x", "/etc/passwd", "F32", "BF16", "float32", "1e9", "é"),
    *([], {}, [1], [0, 0], [[]], [[[[[[[]]]]]]], {"a": {"a": {}}}, [1, 2, 3, 4], [2**40, 2**40], ["x"] * 40, {"": 0}),
)
"""Values that a field doesn't expect."""


def _odd(rng: Random) -> Any:
    """One of its own, which may be changed."""
    return copy.deepcopy(rng.choice(ODD))


def bytes_anywhere(rng: Random, content: bytes) -> bytes:
    """One to three bytes or blocks flipped, put in, left out, doubled, or the file cut short."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(content) + 1)
        length = rng.choice((1, 1, 1, 2, 4, 8, 64))
        # Where the form is told: at either end.
        at = rng.choice((at, at, at % 200, max(0, len(content) - at % 200)))
        before, block, after = content[:at], content[at : at + length], content[at + length :]
        put = rng.choice(
            (
                bytes(byte ^ rng.randrange(1, 256) for byte in block),
                bytes(byte ^ 1 << rng.randrange(8) for byte in block),
                rng.randbytes(length),
                b"\xff" * len(block),
                b"\0" * len(block),
                b"",
                block + block,
            )
        )
        content = before if rng.random() < 0.05 else before + put + after
    return content


def gguf_numbers(rng: Random, content: bytes) -> bytes:
    """One of the numbers of a header, wherever it lies, made another: counts, lengths, types, axes and offsets."""
    form = rng.choice("IQ")
    most = 2 ** (8 * struct.calcsize(form)) - 1
    at = rng.randrange(4, len(content) - 1000)
    value = rng.choice((0, 1, 2, 3, 31, 64, 255, 2**31, 2**40, 2**63, most, rng.randrange(100)))
    number = struct.pack(f"<{form}", min(value, most))
    return content[:at] + number + content[at + len(number) :]


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON document with each key or index in it."""
    if isinstance(document, dict | list):
        for step in document if isinstance(document, dict) else range(len(document)):
            yield document, step
            yield from _places(document[step])


def json_value(rng: Random, document: Any) -> Any:
    """The document with one to three of its values other ones, gone, moved or under other names."""
    document = json.loads(json.dumps(document))
    for _ in range(rng.randint(1, 3)):
        places = list(_places(document))
        if not places:
            return _odd(rng)
        holder, step = rng.choice(places)
        change = rng.random()
        if change < 0.6:
            holder[step] = _odd(rng)
        elif change < 0.7:
            del holder[step]
        elif change < 0.85:
            other, place = rng.choice(places)
            if not isinstance(holder[step], dict | list):
                other[place] = holder[step]
        elif isinstance(holder, dict):
            holder[rng.choice([name for name in ODD if isinstance(name, str)])] = holder.pop(step)
        else:
            holder.insert(step, holder[step])
    return document


def json_text(rng: Random, content: bytes) -> bytes:
    """A JSON file with other values; now and then with a key twice."""
    text = json.dumps(json_value(rng, json.loads(content)))
    if rng.random() < 0.05 and text.startswith("{") and len(text) > 2:
        text = f"{text[:-1]}, {text[1 : text.index(':')] if ':' in text else chr(34) * 2}: 1}}"
    return text.encode()


def safetensors_header(rng: Random, content: bytes) -> bytes:
    """A header of other values, with its length put right."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json_text(rng, content[8 : 8 + length])
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def toml_text(rng: Random, content: bytes) -> bytes:
    """A TOML file in which values are other ones, lines are doubled, moved or left out."""
    lines = content.decode().splitlines()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        name, equals, _ = lines[at].partition("=")
        odd = _odd(rng)
        value = json.dumps(odd) if not isinstance(odd, dict) and odd is not None else "{a = 1}"
        changed = f"{name}= {value}" if equals else lines[at]
        lines[at : at + 1] = rng.choice(([changed], [changed], [changed], [], [lines[at]] * 2, ["[x]", lines[at]]))
        lines = lines or ["x = 1"]
    return "\n".join(lines).encode()


def rank_lines(rng: Random, content: bytes) -> bytes:
    """A rank file whose lines are changed, doubled, moved or left out."""
    lines = content.splitlines()
    for _ in range(rng.randint(1, 3)):
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        token, _, rank = lines[at].partition(b" ")
        lines[at : at + 1] = rng.choice(
            (
                [],
                [lines[at]] * 2,
                [lines[other]],
                [token + b" " + rng.choice((b"-1", b"1e3", b"999999999", b"", b"0", b"007", rank + b" 1"))],
                [rng.choice((b"", b"====", b"YQ", b"YQ==", b"\xff\xfe", token[:-1], token * 2)) + b" " + rank],
                [lines[other].partition(b" ")[0] + b" " + rank],
            )
        )
    return b"\n".join(lines) + b"\n"


def zip_parts(path: Path, documents: Collection[str] = ()) -> Mutate:
    """Another directory, other headers, other members; every checksum that isn't meant to be wrong is right.

    documents: the members that hold JSON.
    """
    with zipfile.ZipFile(path) as archive:
        is_packed = any(info.compress_type for info in archive.infolist())
        parts = [Part(info.filename, archive.read(info)) for info in archive.infolist()]

    def mutate(rng: Random, content: bytes) -> bytes:
        changed = list(parts)
        for _ in range(rng.randint(1, 2)):
            at = rng.randrange(len(changed))
            changed[at] = _other_part(rng, changed[at], changed[at].name in documents)
        if rng.random() < 0.2:
            changed.insert(rng.randrange(len(changed) + 1), rng.choice(changed))
        if rng.random() < 0.2:
            rng.shuffle(changed)
        return pack(map(_deflated, changed) if is_packed else changed)

    return mutate


def _deflated(part: Part) -> Part:
    if part.method:
        return part
    size = len(part.content) if part.size is None else part.size
    crc = crc32(part.content) if part.crc is None else part.crc
    return replace(part, method=8, content=deflated(part.content), size=size, crc=crc)


_WORDS: tuple[tuple[bytes, tuple[bytes, ...]], ...] = (
    (
        rb"'[<>|][a-z]\d+'",
        (b"'<f4'", b"'>f4'", b"'<i8'", b"'|O'", b"'<U9'", b"'|V2'", b"'<f2'", b"'|b1'", b"'<c8'"),
    ),
    (rb"False|True", (b"True", b"False", b"None", b"1")),
    (
        rb"\([\d, ]*\)",
        (b"()", b"(1,)", b"(9999999999,)", b"(-1,)", b"(2, 2)", b"(0, 5)", b"(1.5,)", b"[3]", b"(True,)"),
    ),
    (rb"'descr'|'shape'|'fortran_order'", (b"'shape'", b"'x'", b"descr", b"'\x1b[31m'")),
)
"""What stands in an npy header, and what may be put there."""
_HEAD = re.compile(rb"^\x93NUMPY\x01\x00(..)(.*?\n)", re.DOTALL)


def _other_part(rng: Random, part: Part, is_document: bool) -> Part:
    if is_document and rng.random() < 0.7 and (match := _HEAD.match(part.content)):
        with suppress(ValueError):
            return replace(part, content=text_npy(json_text(rng, part.content[match.end() :]).decode()))
    number = rng.choice((0, 1, 7, 8, 93, 255, 2**16 - 1, 2**31, 2**32 - 1, len(part.content), len(part.content) + 1))
    changes: tuple[dict[str, Any], ...] = (
        {"method": rng.choice((0, 8, 8, 12, 99))},
        {"method": 8, "content": deflated(part.content), "size": len(part.content), "crc": crc32(part.content)},
        {"flags": rng.choice((1, 8, 0x800, 0x2000, 6))},
        {"size": number},
        {"crc": number},
        {"offset": number},
        {"local_size": number},
        {"local_crc": number},
        {"local_name": rng.choice(("", "x.npy", "../x.npy", "é.npy"))},
        {"name": rng.choice(("", "x.npy", "../x.npy", "a" * 60_000, "\x00.npy", "logits.npy", "x"))},
        {"extra": rng.choice((b"\1\0\x08\0" + rng.randbytes(8), b"\1\0\xff\xff", rng.randbytes(3), b"\0" * 200))},
        {"content": npy_head(rng, part.content)},
        {"content": npy_head(rng, part.content)},
        {"content": bytes_anywhere(rng, part.content)},
    )
    return replace(part, **rng.choice(changes))


def npy_head(rng: Random, content: bytes) -> bytes:
    """Another npy header of the same length."""
    match = _HEAD.match(content)
    if match is None:
        return content
    pattern, others = rng.choice(_WORDS)
    text = re.sub(pattern, lambda _: rng.choice(others), match[2].rstrip(), count=1)
    text += b" " * max(0, len(match[2]) - len(text) - 1) + b"\n"
    return content[:8] + struct.pack("<H", len(text)) + text + content[match.end() :]
