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
        ({"schema": "x"}, "semigan-datalist-1"),
        ({"label_values": "rgb"}, "`label_values`"),
        ({"labelled": [{"image": "images/case0.png"}]}, '"label"'),
        ({"labelled": ["images/case0.png"]}, "list of objects"),
        ({"unlabelled": [{"image": "nothing.png"}]}, r"missing are .*nothing\.png"),
        ({"test": []}, "map names to lists"),
    ],
)
def test_wrong_lists_say_why(datalist, changes, reason):
    change(datalist, **changes)
    with pytest.raises(InputError, match=reason):
        load_datalist(datalist)


def test_unreadable_lists_say_why(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_datalist(tmp_path / "no.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match="must be JSON"):
        load_datalist(tmp_path / "bad.json")
