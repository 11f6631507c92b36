"""The listener lets in whom it should, keeps what it acknowledges, and no peer costs it more than an association."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

from monai_semigan.errors import ConfigError
from monai_semigan.pacs.listener import Listener
from monai_semigan.pacs.peer import Access, parse_peer
from monai_semigan.pacs.store import InstanceStore, short_name

pytest.importorskip("pynetdicom")

pytestmark = [  # pynetdicom lets the system close sockets that never got through
    pytest.mark.filterwarnings("ignore:unclosed <:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <(socket|ssl):pytest.PytestUnraisableExceptionWarning"),
]

SEG = "1.2.840.10008.5.1.4.1.1.66.4"

Listen = Callable[..., Listener]


def test_what_is_acknowledged_is_there_as_it_was_sent(listen: Listen, tmp_path: Path) -> None:
    from benchmarks.dicom_peers import ct_slice, send_all

    node, slices = listen(), [ct_slice("a", number, side=19) for number in range(3)]

    acknowledged = send_all(node.port, slices)

    assert acknowledged == [made.SOPInstanceUID for made in slices]
    folder = tmp_path / "received" / short_name(slices[0].SeriesInstanceUID)
    assert {path.stem for path in folder.glob("*.dcm")} == {short_name(uid) for uid in acknowledged}
    for made in slices:
        kept = dcmread(folder / f"{short_name(made.SOPInstanceUID)}.dcm")
        assert kept == made and kept.file_meta.TransferSyntaxUID == made.file_meta.TransferSyntaxUID
    assert node.counts["stored"] == 3


def test_only_titles_of_the_list_may_call(listen: Listen) -> None:
    from benchmarks.dicom_peers import associated

    node = listen(allow=("PACS", "OTHER"))

    assert associated(node.port, aet="STRANGER").is_rejected
    assert associated(node.port, aet="PACS", called="ANOTHER").is_rejected
    welcome = associated(node.port, aet="OTHER")
    assert welcome.is_established
    welcome.release()


def test_others_can_reach_it_only_with_a_list(listen: Listen) -> None:
    with pytest.raises(ConfigError, match="`allow` must name"):
        listen(host="0.0.0.0")


def test_a_port_in_use_is_said(listen: Listen, tmp_path: Path) -> None:
    node = listen()

    with pytest.raises(ConfigError, match=f"`port` must be one that nobody listens on, got {node.port}"):
        Listener(InstanceStore(tmp_path / "other"), Access(), port=node.port)


def test_objects_that_are_no_images_get_no_context(listen: Listen) -> None:
    from benchmarks.dicom_peers import CT, associated

    association = associated(listen().port, classes=(CT, SEG, "1.2.840.10008.5.1.4.1.1.88.34"))

    assert [context.abstract_syntax for context in association.accepted_contexts] == [CT]
    association.release()
    assert not associated(listen().port, classes=(SEG,)).is_established


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (lambda made: delattr(made, "PixelData"), 0xC000),
        (lambda made: delattr(made, "Rows"), 0xC000),
        (lambda made: setattr(made, "SeriesInstanceUID", None), 0xC000),
    ],
    ids=["no pixels", "no size", "no series"],
)
def test_an_object_without_an_image_is_refused(change, status, listen: Listen, tmp_path: Path) -> None:
    from benchmarks.dicom_peers import associated, ct_slice, status_of

    node, made = listen(), ct_slice("a", 0)
    change(made)

    association = associated(node.port)

    assert status_of(association.send_c_store(made)) == status
    assert status_of(association.send_c_store(ct_slice("a", 1))) == 0, "the association goes on"
    association.release()
    assert len(list((tmp_path / "received").rglob("*.dcm"))) == 1
    assert node.counts == {"refused": 1, "stored": 1, "associations": 1}


def test_an_instance_of_another_class_than_announced_is_refused(listen: Listen, tmp_path: Path) -> None:
    from benchmarks.dicom_peers import CT, ct_slice, send_file

    ct_slice("a", 0).save_as(tmp_path / "mr.dcm", enforce_file_format=True)
    head, ct, rest = (tmp_path / "mr.dcm").read_bytes().rpartition(CT.encode())  # the meta information still says CT
    assert ct
    (tmp_path / "mr.dcm").write_bytes(head + CT[:-1].encode() + b"4" + rest)

    assert send_file(listen().port, tmp_path / "mr.dcm") == 0xA900


def test_half_an_instance_is_refused(listen: Listen, tmp_path: Path) -> None:
    from benchmarks.dicom_peers import ct_slice, send_file

    ct_slice("a", 0).save_as(tmp_path / "whole.dcm", enforce_file_format=True)
    content = (tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[:-1])
    node = listen()

    assert send_file(node.port, tmp_path / "cut.dcm") == 0xC000
    assert send_file(node.port, tmp_path / "whole.dcm") == 0
    (kept,) = (tmp_path / "received").rglob("*.dcm")
    assert dcmread(kept).PixelData == dcmread(tmp_path / "whole.dcm").PixelData


@pytest.mark.parametrize("after_request", [True, False])
def test_a_peer_that_lies_about_lengths_is_shown_out(after_request: bool, listen: Listen, caplog) -> None:
    from benchmarks.dicom_peers import ct_slice, lie, send_all

    node = listen()

    assert lie(node.port, 2**32 - 1, after_request=after_request, wait_s=5), "it must not wait for 4 GB"
    assert len(send_all(node.port, [ct_slice("a", 0)])) == 1


def test_an_instance_above_the_limit_ends_its_association(listen: Listen, tmp_path: Path) -> None:
    from benchmarks.dicom_peers import ct_slice, send_all

    node = listen(max_instance=2**20)

    assert send_all(node.port, [ct_slice("big", 0, side=1500)]) == []
    assert len(send_all(node.port, [ct_slice("fits", number, side=600) for number in range(5)])) == 5, "each by itself"
    assert len(list((tmp_path / "received").rglob("*.dcm"))) == 5


def test_a_peer_that_stalls_within_a_message_is_shown_out(listen: Listen) -> None:
    from benchmarks.dicom_peers import lie

    node = listen(timeout_s=1)

    begun = time.monotonic()
    assert lie(node.port, 5000, sent=10, wait_s=20)
    assert time.monotonic() - begun < 15


def test_a_peer_that_breaks_off_leaves_nothing(listen: Listen, tmp_path: Path) -> None:
    from benchmarks.dicom_peers import abort_midway, ct_slice, send_all

    node = listen()

    abort_midway(node.port, ct_slice("lost", 0, side=300))

    assert len(send_all(node.port, [ct_slice("a", 0)])) == 1
    assert len(list((tmp_path / "received").rglob("*.*"))) == 2, "an instance and a mark"


def test_a_slow_peer_does_not_hold_up_a_quick_one(listen: Listen) -> None:
    from benchmarks.dicom_peers import ct_slice, send_all

    node = listen()
    slow: list[str] = []
    thread = threading.Thread(
        target=lambda: slow.extend(send_all(node.port, [ct_slice("s", at) for at in range(2)], pause_s=1))
    )
    thread.start()
    time.sleep(0.2)

    quick = send_all(node.port, [ct_slice("q", at) for at in range(5)])

    assert len(quick) == 5 and not slow
    thread.join(timeout=60)
    assert len(slow) == 2


def test_associations_are_limited_at_once_and_by_rate(listen: Listen) -> None:
    from benchmarks.dicom_peers import associated

    node = listen(max_associations=1)
    first = associated(node.port)
    assert first.is_established and associated(node.port).is_rejected
    first.release()
    rated = listen(max_rate=2)
    for _ in range(2):
        associated(rated.port).release()
    assert not associated(rated.port).is_established
    assert rated.counts["throttled"] == 1


def test_a_full_disk_is_answered_as_such_and_passes(listen: Listen, tmp_path: Path) -> None:
    from benchmarks.dicom_peers import associated, ct_slice, status_of

    store = InstanceStore(tmp_path / "small", max_bytes=20_000)
    association = associated(listen(store=store).port)

    statuses = [status_of(association.send_c_store(ct_slice("a", at))) for at in range(3)]  # 8 kB each
    assert statuses == [0, 0, 0xA700]
    store.max_bytes = None
    assert status_of(association.send_c_store(ct_slice("a", 2))) == 0
    association.release()
    assert len(list((tmp_path / "small").rglob("*.dcm"))) == 3


def test_no_identifier_is_logged(listen: Listen, caplog) -> None:
    from benchmarks.dicom_peers import ct_slice, send_all

    caplog.set_level(logging.DEBUG)
    logging.getLogger("monai_semigan").setLevel(logging.DEBUG)
    bad = ct_slice("a", 0)
    bad.PatientName, bad.Rows = "Secret^Name", None

    send_all(listen().port, [ct_slice("a", 1), bad])

    assert "Secret" not in caplog.text and str(bad.SOPInstanceUID) not in caplog.text


def test_a_peer_by_dimse_says_what_is_wrong(listen: Listen, tmp_path: Path) -> None:
    from benchmarks.dicom_peers import ct_slice
    from monai_semigan.errors import PeerError

    node = listen(allow=("FRIEND",))
    ct_slice("a", 0).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    other = ct_slice("a", 1)
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = SEG
    other.save_as(tmp_path / "seg.dcm", enforce_file_format=True)

    with pytest.raises(PeerError, match="does not know our AE title SEMIGAN") as unknown:
        parse_peer(f"SEMIGAN@127.0.0.1:{node.port}").send([tmp_path / "a.dcm"])
    with pytest.raises(PeerError, match="has another AE title"):
        parse_peer(f"OTHER@127.0.0.1:{node.port}", Access(aet="FRIEND")).send([tmp_path / "a.dcm"])
    friend = parse_peer(f"SEMIGAN@127.0.0.1:{node.port}", Access(aet="FRIEND"))
    friend.send([tmp_path / "a.dcm"])
    with pytest.raises(PeerError, match=r"takes no objects of the kind of `seg\.dcm`") as refused:
        friend.send([tmp_path / "a.dcm", tmp_path / "seg.dcm"])
    assert refused.value.is_final and not unknown.value.is_final
    node.close()
    with pytest.raises(PeerError, match="cannot be reached") as down:
        friend.send([tmp_path / "a.dcm"])
    assert not down.value.is_final


@pytest.fixture
def certificates(tmp_path: Path) -> Callable[[str], tuple[Path, Path]]:
    """Make certificates of 127.0.0.1 that vouch for themselves."""
    import shutil
    import subprocess

    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")

    def make(name: str) -> tuple[Path, Path]:
        certificate, key = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        words = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
        words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
        subprocess.run(words, check=True, capture_output=True)
        return certificate, key

    return make


def test_with_tls_only_certificates_that_are_trusted_get_in(listen: Listen, certificates, tmp_path: Path) -> None:
    from benchmarks.dicom_peers import ct_slice
    from monai_semigan.errors import PeerError

    (ours, our_key), (other, other_key) = certificates("ours"), certificates("other")
    ct_slice("a", 0).save_as(tmp_path / "a.dcm", enforce_file_format=True)
    node = listen(access=Access(certificate=ours, key=our_key, ca=ours), timeout_s=5)
    title = f"SEMIGAN@127.0.0.1:{node.port}"

    parse_peer(title, Access(certificate=ours, key=our_key, ca=ours)).send([tmp_path / "a.dcm"])
    for access in (
        Access(timeout_s=3),
        Access(ca=ours, timeout_s=3),
        Access(certificate=other, key=other_key, ca=ours, timeout_s=3),
        Access(certificate=ours, key=our_key, ca=other, timeout_s=3),
    ):
        with pytest.raises(PeerError):
            parse_peer(title, access).send([tmp_path / "a.dcm"])
    assert node.counts["stored"] == 1


def test_certificates_that_cannot_be_used_are_said(listen: Listen, certificates, tmp_path: Path) -> None:
    certificate, _ = certificates("ours")
    _, key = certificates("other")

    with pytest.raises(ConfigError, match="given together"):
        Access(certificate=certificate)
    with pytest.raises(ConfigError, match="cannot be used"):
        listen(access=Access(certificate=certificate, key=key))
    with pytest.raises(ConfigError, match="to listen with TLS"):
        listen(access=Access(ca=certificate))
