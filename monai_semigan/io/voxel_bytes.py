# SPDX-License-Identifier: Apache-2.0
"""Exactly as many bytes of a file as its header declares, raw or deflated, and never more memory than they can fill."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from monai_semigan.errors import InputError

__all__ = ["file_start", "read_voxels"]

CHUNK_BYTES = 2**20

MAX_DEFLATE_RATIO = 1032
"""Deflate makes no more than 1,032 bytes out of one (zlib's technical details): more cannot be there."""

MAX_REMAINDER_BYTES = 2**22
"""Bytes that may follow the voxels."""

GZIP_MARK = b"\x1f\x8b"

ANY_WRAPPER = 32 + zlib.MAX_WBITS
"""zlib's word for: gzip or zlib, as the content says."""


def read_voxels(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[np.generic], *, offset: int = 0, skip: int = 0, deflated: bool
) -> np.ndarray:
    """Read voxels whose first axis runs fastest, in the machine's byte order.

    Args:
        path: The file.
        shape: Of the volume, as its header declares it.
        dtype: Of the file's numbers, with their byte order.
        offset: Bytes of the file before the voxels.
        skip: Bytes before the voxels within what is inflated.
        deflated: They are packed by gzip or zlib, and are read to the checksum.

    Raises:
        InputError: There are fewer bytes than declared, many more, or damaged ones; or they do not fit into memory.
    """
    count = dtype.itemsize
    for size in shape:
        count *= size
    try:
        present = path.stat().st_size - offset
        if skip + count > present * (MAX_DEFLATE_RATIO if deflated else 1):
            raise InputError(
                f"`{path.name}` must be a complete file, but is cut short or declares too much. Copy it again."
            )
        content = np.empty(count, dtype=np.uint8)
        with path.open("rb") as stream:
            stream.seek(offset)
            pieces = _inflated(stream) if deflated else iter(lambda: stream.read(CHUNK_BYTES), b"")
            _fill(path.name, content, skip, pieces)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(
            f"`{path.name}` must be a complete file, but is damaged or cut short. Copy it again."
        ) from error
    except MemoryError as error:
        raise InputError(f"`{path.name}` must fit into memory, got {count / 2**30:.1f} GiB of voxels.") from error
    voxels = content.view(dtype).reshape(shape, order="F")
    return voxels if dtype.isnative else voxels.byteswap(inplace=True).view(dtype.newbyteorder("="))


def file_start(path: Path, size: int) -> tuple[bytes, bool]:
    """Return the first bytes of a file, inflated where it is gzip whatever its name, and whether it is.

    Raises:
        InputError: It cannot be read, or not inflated.
    """
    try:
        with path.open("rb") as stream:
            is_gzip = stream.read(2) == GZIP_MARK
            stream.seek(0)
            start = b""
            for piece in _inflated(stream) if is_gzip else [stream.read(size)]:
                start += piece
                if len(start) >= size:
                    break
    except FileNotFoundError as error:
        raise InputError(f"`{path}` must be a file, but does not exist.") from error
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"`{path.name}` must be readable, but is damaged or cut short. Copy it again.") from error
    return start[:size], is_gzip


def _fill(name: str, content: np.ndarray, skip: int, pieces: Iterator[bytes]) -> None:
    at = -skip
    for piece in pieces:
        start = max(0, -at)
        part = piece[start : max(start, content.size - at)]
        if part:
            content[at + start : at + start + len(part)] = np.frombuffer(part, dtype=np.uint8)
        at += len(piece)
        if at > content.size + MAX_REMAINDER_BYTES:
            raise InputError(f"`{name}` must hold one volume, but holds more than its header says. Correct the header.")
    if at < content.size:
        raise EOFError


def _inflated(stream: BinaryIO) -> Iterator[bytes]:
    """Inflate gzip, of several members too, or zlib, in pieces of bounded size.

    Raises:
        EOFError: It ends too early.
    """
    inflate, packed = zlib.decompressobj(ANY_WRAPPER), b""
    while True:
        packed = packed or stream.read(CHUNK_BYTES)
        if not packed:
            raise EOFError
        while packed and not inflate.eof:
            if piece := inflate.decompress(packed, CHUNK_BYTES):
                yield piece
            packed = inflate.unconsumed_tail
        if inflate.eof:
            packed = inflate.unused_data
            if len(packed) < len(GZIP_MARK):
                packed += stream.read(CHUNK_BYTES)
            if not packed.startswith(GZIP_MARK):
                return
            inflate = zlib.decompressobj(ANY_WRAPPER)
