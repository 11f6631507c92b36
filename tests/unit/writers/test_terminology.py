"""Codes of classes: what is written for them, and what a bundle may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.sr.codedict import codes as dictionary

from monai_semigan.errors import ConfigError
from monai_semigan.settings import read_settings
from monai_semigan.writers.terminology import (
    ANATOMY,
    KNOWN,
    PRIVATE_SCHEME,
    ClassCodes,
    Code,
    SegmentInfo,
    in_terminology,
    known_segment,
    segments_of_classes,
)

RED = (255, 0, 0)


@pytest.mark.parametrize("name", KNOWN)
def test_known_codes_are_in_the_dictionary_of_the_standard(name):
    in_dictionary = {dictionary.SCT.__getattr__(keyword).value for keyword in dictionary.SCT.dir()}

    for code in KNOWN[name].values():
        assert code.scheme == "SCT" and code.value in in_dictionary


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lung", "39607008"),
        ("Lungs", "39607008"),
        ("Liver", "10200004"),
        ("liver_tumour", "108369006"),
        ("spleen", "78961009"),
        ("Skin-Lesion", "95324001"),
    ],
)
def test_names_are_found_however_they_are_spelled(name, value):
    segment = known_segment(name, RED)

    assert segment.type.value == value and segment.name == name and not segment.has_private_code


def test_findings_have_their_region_and_pairs_their_side():
    assert known_segment("liver tumor", RED).region.meaning == "Liver"
    assert known_segment("skin lesion", RED).category.meaning == "Morphologically Abnormal Structure"
    assert known_segment("lung", RED).modifier.value == "51440002"


def test_unknown_names_get_private_codes_of_their_own():
    names = ["hair", "left eyebrow", "a very long name of a part of a face", "a very long name of another part", "眉"]

    segments = [known_segment(name, RED) for name in names]

    assert all(segment.type.scheme == PRIVATE_SCHEME and segment.has_private_code for segment in segments)
    assert len({segment.type.value for segment in segments}) == len(names)
    assert segments[0].type.value == "hair" and all(len(segment.type.value) <= 16 for segment in segments)
    assert known_segment("Größe", RED).name == "Groe"


def test_the_code_of_anatomy_depends_on_the_terminology():
    slicer = in_terminology(ANATOMY, "slicer")
    assert slicer.value == "123037004" and in_terminology(slicer, "dicom") == ANATOMY
    liver = KNOWN["liver"]["type"]
    assert in_terminology(liver, "slicer") == liver
    with pytest.raises(ConfigError, match="dicom or slicer"):
        in_terminology(liver, "other")  # type: ignore[arg-type]


def test_a_bundle_may_state_codes():
    block = [{"category": list(ANATOMY), "type": ["1", "99X", "Thing"], "modifier": None, "region": ["2", "SCT", "At"]}]
    names, colors = ["background", "thing", "liver"], [(0, 0, 0), RED, RED]

    stated, found = segments_of_classes(names, colors, [*(read_settings(ClassCodes, e, "codes") for e in block), None])

    assert stated == SegmentInfo(
        name="thing", color=RED, category=ANATOMY, type=Code("1", "99X", "Thing"), region=Code("2", "SCT", "At")
    )
    assert found == known_segment("liver", RED) == segments_of_classes(names, colors)[1]


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        ([], "one entry for each of liver, got 0"),
        (["liver"], "must be an object, got 'liver'"),
        ([{"type": list(ANATOMY)}], "with the keys category"),
        ([{"type": list(ANATOMY), "category": list(ANATOMY), "size": 3}], "known keys .*, got 'size'"),
        ([{"type": None, "category": list(ANATOMY)}], "`type` in `codes` must be a list, got None"),
        ([{"type": ["1", "SCT"], "category": list(ANATOMY)}], "must be a list of 3, got a list of 2"),
        ([{"type": [1, "SCT", "Liver"], "category": list(ANATOMY)}], r"`type\[0\]` in `codes` must be text, got 1"),
        ([{"type": ["1" * 17, "SCT", "Liver"], "category": list(ANATOMY)}], "16 printable"),
        ([{"type": ["1", "SCT", "a\\b"], "category": list(ANATOMY)}], "backslash"),
        ([{"type": ["1", "SCT", ""], "category": list(ANATOMY)}], "printable"),
    ],
)
def test_wrong_codes_of_a_bundle_are_refused(codes: Any, reason: str):
    with pytest.raises(ConfigError, match=reason):
        segments_of_classes(
            ["background", "liver"], [(0, 0, 0), RED], [read_settings(ClassCodes, entry, "codes") for entry in codes]
        )


def test_segments_must_be_writable():
    for changes in ({"name": "x" * 65}, {"name": "Größe"}, {"color": (0, 0, 256)}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            SegmentInfo(**({"name": "a", "color": RED, "category": ANATOMY, "type": ANATOMY} | changes))
