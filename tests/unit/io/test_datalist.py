"""Data lists: complete, and no patient on both sides."""

from __future__ import annotations

import json

import pytest

from monai_semigan.errors import InputError
from monai_semigan.io.datalist import load_datalist


def change(path, **changes):
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(content))


def test_entries_are_resolved(datalist):
    data = load_datalist(datalist)

    assert (len(data.labelled), len(data.unlabelled), len(data.validation), data.test) == (2, 3, 1, {})
    assert data.is_binary
    assert data.labelled[0].image == datalist.parent / "images" / "case0.png"
    assert data.unlabelled[0].label is None


def test_digest_follows_the_content(datalist):
    before = load_datalist(datalist).digest()
    assert load_datalist(datalist).digest() == before
    change(datalist, unlabelled=[{"image": "images/case0.png"}])
    assert load_datalist(datalist).digest() != before


def test_a_patient_on_both_sides_is_refused_without_its_name(datalist):
    entry = {"image": "images/case3.png", "label": "masks/case3.png", "patient_id": "0"}
    change(datalist, validation=[entry])

    with pytest.raises(InputError, match="1 are both in training and in validation or test") as caught:
        load_datalist(datalist)
    assert "patient 0" not in str(caught.value)


def test_an_image_on_both_sides_is_refused(datalist):
    change(datalist, test={"other": [{"image": "images/case0.png", "label": "masks/case0.png"}]})

    with pytest.raises(InputError, match=r"case0\.png on both sides"):
        load_datalist(datalist)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": "x"}, "`schema` in .* must be one of semigan-datalist-1, got 'x'"),
        ({"label_values": "rgb"}, "`label_values` in .* must be one of classes, binary, got 'rgb'"),
        ({"labelled": [{"image": "images/case0.png"}]}, 'Every entry of `labelled` must have a "label"'),
        ({"labelled": ["images/case0.png"]}, r"`labelled\[0\]` in .* must be an object"),
        ({"labelled": [{"label": "masks/case0.png"}]}, "must be an object with the keys image"),
        ({"labelled": [{"image": 3}]}, r"`labelled\[0\].image` in .* must be a path, got 3"),
        ({"unlabelled": [{"image": "nothing.png"}]}, r"missing are .*nothing\.png"),
        ({"unlabelled": [{"image": "nothing\n.png"}]}, r"missing are .*nothing\\n\.png"),
        ({"test": []}, "`test` in .* must be an object, got a list of 0"),
        ({"labeled": []}, "must be an object of known keys .schema, labelled, unlabelled, .*, got 'labeled'"),
        ({"unlabelled": [{"image": "images/case0.png", "patient": "1"}]}, "known keys .*patient_id.*, got 'patient'"),
        ({"unlabelled": [{"image": "images/case0.png", "spacing_mm": [1, 0]}]}, "must be a number above 0"),
        ({"root": None}, "`root` in .* must be a path, got None"),
        ({"volumes": {"train": [{}]}}, r"`volumes.train\[0\]` in .* must be an object with the keys image"),
    ],
)
def test_wrong_lists_say_why(datalist, changes, reason):
    change(datalist, **changes)
    with pytest.raises(InputError, match=reason):
        load_datalist(datalist)


def test_further_keys_are_read(datalist):
    entry = {"image": "images/case0.png", "patient_id": 7, "has_organ": False, "spacing_mm": [0.5, 2], "_note": "kept"}
    volumes = {"train": [{"image": "v.nii.gz", "label": "l.nii.gz", "patient_id": "7"}], "test": {}}
    change(datalist, unlabelled=[entry], volumes=volumes, seed=3, prepared_from="phantom", class_names=["a", "b"])

    (found,) = load_datalist(datalist).unlabelled

    assert (found.patient_id, found.has_organ, found.spacing_mm) == ("7", False, (0.5, 2.0))


def test_what_may_have_been_overlooked_is_said(datalist, caplog):
    load_datalist(datalist)
    assert not caplog.messages

    change(datalist, unlabelled=[], validation=[], labelled=[{"image": "images/case0.png", "label": "masks/case0.png"}])
    load_datalist(datalist)

    assert caplog.messages == [
        "data.json: 1 of 1 entries have no patient_id, so nothing tells whether a patient is on both sides.",
        "data.json has no validation images.",
        "data.json has no unlabelled images.",
    ]


def test_unreadable_lists_say_why(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_datalist(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="must be JSON"):
        load_datalist(tmp_path / "bad.json")
