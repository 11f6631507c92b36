# SPDX-License-Identifier: Apache-2.0
"""Whether a generator repeats training images: a planted one is found, nothing else is."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from monai_semigan.cli.main import main
from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.workflows.memory_auditing import MemoryAuditOptions, audit_memory
from monai_semigan.workflows.synthesizing import SynthesisOptions, synthesize

OPTIONS = MemoryAuditOptions(num_samples=12, device="cpu")


def test_a_generated_image_planted_among_the_training_images_is_found(tiny_bundle, write_list, tmp_path):
    synthesize(tmp_path / "drawn", bundle=tiny_bundle, options=SynthesisOptions(num_items=8, device="cpu"))
    planted = tmp_path / "drawn/images/000007.png"
    data = write_list("site", num_labelled=14, num_validation=12, planted=[planted])

    found = audit_memory(tmp_path / "out", bundle=tiny_bundle, datalist=data, options=OPTIONS)

    assert 7 in found.copies
    first = next(pair for pair in found.closest if pair.seed == 7)
    assert first.is_copy and first.training_index == 14 and first.p_value == pytest.approx(1 / 13)
    assert (found.num_samples, found.num_training, found.num_unseen) == (12, 15, 12)
    assert json.loads((tmp_path / "out/memory.json").read_text()) == found.to_json()
    with Image.open(tmp_path / "out/pairs.png") as picture:
        assert picture.width > 600


def test_without_it_there_is_no_copy(tiny_bundle, write_list, tmp_path):
    data = write_list("site", num_labelled=14, num_validation=12)

    found = audit_memory(tmp_path / "out", bundle=tiny_bundle, datalist=data, options=OPTIONS)

    assert found.copies == () and not any(pair.is_copy for pair in found.closest)
    assert {pair.space for pair in found.closest} == {"pixels", "features"}
    for space in found.spaces.values():
        assert 0 < space.copy_distance < space.median_unseen
        assert 0 <= space.p_value <= 1 and 0 <= space.p_value_redrawn <= 1


def test_nothing_of_the_patients_is_in_the_result(tiny_bundle, write_list, tmp_path):
    data = write_list("secretname", num_labelled=3, num_validation=10)

    audit_memory(tmp_path / "out", bundle=tiny_bundle, datalist=data, options=OPTIONS)

    assert "secretname" not in (tmp_path / "out/memory.json").read_text()


def test_wrong_input_is_refused(tiny_bundle, volume_bundle, write_list, tmp_path):
    few = write_list("few", num_labelled=3, num_validation=9)
    empty = write_list("empty", num_validation=10)
    whole = write_list("whole", num_labelled=2, num_validation=10)
    for data, options, error, words in (
        (few, OPTIONS, InputError, "at least 10 validation images to compare with, got 9"),
        (empty, OPTIONS, ConfigError, "must have unlabelled images"),
        (whole, MemoryAuditOptions(num_samples=10, modality="PT"), ConfigError, "`modality` must be CT or MR"),
        (tmp_path / "gone.json", OPTIONS, InputError, "gone.json"),
    ):
        with pytest.raises(error, match=words):
            audit_memory(tmp_path / "out", bundle=volume_bundle, datalist=data, options=options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="num_samples"):
        MemoryAuditOptions(num_samples=9)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file.txt").write_text("precious")
    with pytest.raises(OutputError, match="must be new, empty"):
        audit_memory(tmp_path / "mine", bundle=tiny_bundle, datalist=whole, options=OPTIONS)


def test_the_command_ends_with_3_where_copies_are_found(tiny_bundle, write_list, tmp_path, capsys):
    synthesize(tmp_path / "drawn", bundle=tiny_bundle, options=SynthesisOptions(num_items=1, device="cpu"))
    clean = write_list("clean", num_labelled=14, num_validation=12)
    copied = write_list("copied", num_labelled=14, num_validation=12, planted=[tmp_path / "drawn/images/000000.png"])
    base = ["audit-memory", "-b", str(tiny_bundle), "-n", "10", "--device", "cpu", "--data"]

    found = []
    for at, data in enumerate((clean, copied)):
        with pytest.raises(SystemExit) as stop:
            main([*base, str(data), "-o", str(tmp_path / f"out{at}")])
        found.append((stop.value.code, capsys.readouterr().out))

    assert [code for code, _ in found] == [0, 3]
    assert "0 of 10 generated images count as copies of 14" in found[0][1]
    assert "1 of 10 generated images count as copies of 15" in found[1][1]
