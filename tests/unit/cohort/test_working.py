"""A process at work on a cohort: what it blames a case for, and what not."""

from __future__ import annotations

import pytest

from monai_semigan import SegmenterOptions, SegmentOptions
from monai_semigan.cohort.manifest import Manifest
from monai_semigan.cohort.rows import Part, Unit
from monai_semigan.cohort.working import CaseWorker, Work


@pytest.mark.parametrize("is_ending", [False, True])
def test_a_process_that_is_being_ended_blames_no_case(is_ending: bool, make_images, tiny_bundle, tmp_path) -> None:
    images = make_images(2)
    (images / "x01.png").write_bytes(b"no picture")
    folder = tmp_path / "out"
    folder.mkdir()
    options = SegmentOptions(segmenter=SegmenterOptions(steps=0), device="cpu")
    asked = iter([True])
    with Manifest(folder, create=True) as manifest:
        manifest.add([Unit(case=path.stem, path=path) for path in sorted(images.iterdir())])
        work = Work(folder=folder, bundle=tiny_bundle, options=options)
        worker = CaseWorker(work, manifest, work.segmenter())

        worker.work_through(Part(), goes_on=lambda: not is_ending or next(asked, False))

        good, bad = manifest.rows()
    assert good.state == "done"
    assert (bad.state, bool(bad.reason)) == (("waiting", False) if is_ending else ("refused", True))
    assert bad.attempts == (0 if is_ending else 1)
