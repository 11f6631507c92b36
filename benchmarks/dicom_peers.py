# SPDX-License-Identifier: Apache-2.0
"""Peers of a DICOM listener, good and bad: the soak, the kills and the tests send with them."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, _config, build_context, evt

CT, CR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.1"

STORE_CHUNKED = "STORE_SEND_CHUNKED_DATASET"


def ct_slice(series: str, number: int, *, side: int = 64) -> Dataset:
    """A slice of noise that is like no other; ``series`` seeds its UIDs."""
    made = _noise(CT, "CT", series, number, side)
    made.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    made.SliceThickness = "2"
    made.ImageOrientationPatient, made.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2 * number]
    made.PixelSpacing = [1, 1]
    return made


def radiograph(study: str, *, side: int = 64) -> Dataset:
    """A radiograph of noise in a study of its own, whose UIDs ``study`` seeds."""
    made = _noise(CR, "CR", study, 0, side)
    made.PatientOrientation = ["L", "F"]
    return made


def _noise(sop_class: str, modality: str, series: str, number: int, side: int) -> Dataset:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = sop_class
    made.SOPInstanceUID = generate_uid(entropy_srcs=[series, str(number)])
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.PatientName, made.PatientID, made.Modality = "Secret^Name", "Secret-4711", modality
    made.StudyInstanceUID, made.SeriesInstanceUID = (generate_uid(entropy_srcs=[kind, series]) for kind in ("st", "se"))
    made.InstanceNumber = number + 1
    made.Rows = made.Columns = side
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = 16, 12, 11, 0
    noise = np.random.default_rng(number).integers(0, 4096, (side, side), dtype=np.uint16)
    made.PixelData = noise.tobytes()
    return made


def associated(port: int, *, aet: str = "TESTER", called: str = "SEMIGAN", classes: Iterable[str] = (CT,), **more: Any):
    """Ask for an association; whether there is one, its ``is_established`` says."""
    entity = AE(ae_title=aet)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
    wanted = [build_context(name, ExplicitVRLittleEndian) for name in classes]
    return entity.associate("127.0.0.1", port, wanted, ae_title=called, **more)


def status_of(answer: Dataset) -> int | None:
    """Return the status of an answer; None if there was none."""
    return int(answer.Status) if "Status" in answer else None


def send_all(port: int, datasets: Iterable[Dataset], *, pause_s: float = 0.0, **more: Any) -> list[str]:
    """Send datasets in one association; return the UIDs that were acknowledged.

    Args:
        port: Of the listener.
        datasets: What is sent.
        pause_s: After each PDU: a slow peer.
        more: As for `associated`.
    """
    slow = [(evt.EVT_DATA_SENT, lambda _: time.sleep(pause_s))] if pause_s else []
    association = associated(port, evt_handlers=slow, **more)
    statuses: dict[str, int | None] = {}
    with contextlib.suppress(RuntimeError, ValueError, AttributeError):  # the listener was killed
        for dataset in datasets if association.is_established else ():
            statuses[str(dataset.SOPInstanceUID)] = status_of(association.send_c_store(dataset))
    if association.is_established:
        association.release()
    return [uid for uid, status in statuses.items() if status == 0]


def send_file(port: int, path: Path) -> int | None:
    """Send a file byte for byte, whatever its header says; return the status."""
    before = getattr(_config, STORE_CHUNKED)
    setattr(_config, STORE_CHUNKED, True)
    try:
        association = associated(port)
        if not association.is_established:
            return None
        status = status_of(association.send_c_store(path))
        association.release()
    finally:
        setattr(_config, STORE_CHUNKED, before)
    return status


def _request() -> bytes:
    """The A-ASSOCIATE-RQ of a CT sender (PS3.8 9.3.2)."""

    def item(kind: int, content: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(content)) + content

    context = bytes([1, 0, 0, 0]) + item(0x30, CT.encode()) + item(0x40, UID(ExplicitVRLittleEndian).encode())
    user = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3"))
    body = struct.pack(">HH", 1, 0) + b"SEMIGAN".ljust(16) + b"LIAR".ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1") + item(0x20, context) + user
    return struct.pack(">BBL", 1, 0, len(body)) + body


def lie(port: int, length: int, *, sent: int = 1000, after_request: bool = True, wait_s: float = 10.0) -> bool:
    """Announce a PDU of a length and send less; return whether the listener ended the connection in time."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
        if after_request:
            stream.sendall(_request())
            stream.recv(4096)
        stream.sendall(struct.pack(">BBL", 4, 0, length) + bytes(sent))
        stream.settimeout(wait_s)
        try:
            while stream.recv(4096):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True


def abort_midway(port: int, dataset: Dataset) -> None:
    """Send half of an instance, then break the connection without a word."""
    association = associated(port)
    if not association.is_established:
        return
    left = [3]

    def send(content: bytes, plain: Any = association.dul.socket.send) -> None:
        left[0] -= 1
        if left[0] <= 0:
            association.dul.socket.socket.close()
            return
        plain(content)

    association.dul.socket.send = send
    association.dimse_timeout = 1
    with contextlib.suppress(RuntimeError, ValueError, OSError):
        association.send_c_store(dataset)
    association.abort()
