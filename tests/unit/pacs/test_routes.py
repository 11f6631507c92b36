"""Which bundle takes which series."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_semigan.errors import BundleError, ConfigError
from monai_semigan.io.dicom.rules import SeriesInfo
from monai_semigan.pacs.routes import choose_route, read_routes, route_to


def info(**changes: object) -> SeriesInfo:
    known = {
        "series_uid": "1.2",
        "part": (1, 1),
        "series_number": 1,
        "modality": "CT",
        "description": "Portal 5.0",
        "body_part": "ABDOMEN",
        "num_slices": 40,
        "plane": "axial",
        "shape": (64, 64),
        "spacing_mm": None,
        "is_localizer": False,
    }
    return SeriesInfo(**(known | changes))  # type: ignore[arg-type]


RULES = [
    {"bundle": "liver_ct_segmentation", "modality": ["CT"], "description": "portal|venous", "body_part": "abd|liver",
     "plane": "axial", "min_slices": 20, "max_slices": 400},
    {"bundle": "lung_cxr_segmentation"},
]  # fmt: skip


@pytest.fixture
def routes(tmp_path: Path):
    (tmp_path / "rules.json").write_text(json.dumps({"_remark": "ours", "rules": RULES}))
    return read_routes(tmp_path / "rules.json")


@pytest.mark.parametrize(
    ("changes", "at", "reason"),
    [
        ({}, 0, ""),
        ({"modality": "CR", "num_slices": 1, "is_taken": False}, 1, ""),
        ({"modality": "DX", "num_slices": 1, "is_taken": False}, 1, ""),
        ({"modality": "MR"}, None, "modality MR"),
        ({"description": "native"}, None, "description"),
        ({"body_part": ""}, None, "body part"),
        ({"num_slices": 19}, None, "19 slices, fewer than 20"),
        ({"num_slices": 401}, None, "401 slices, more than 400"),
        ({"plane": "coronal"}, None, "coronal slices"),
        ({"is_localizer": True}, None, "a localizer"),
        ({"is_taken": False, "reason": "a projection"}, None, "a projection"),
    ],
)
def test_the_first_rule_that_fits_counts(changes, at, reason, routes) -> None:
    found, why = choose_route(routes, [info(**changes)])

    assert found == at and reason in why


def test_one_bundle_takes_what_it_is_made_for() -> None:
    assert route_to("liver_ct_segmentation").rules.modalities == ("CT", "MR")
    assert route_to("lung_cxr_segmentation").rules.modalities == ("CR", "DX")


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        ("no json", ConfigError, "must be JSON"),
        ({"rules": []}, ConfigError, "at least one rule"),
        ({"rules": [{"modality": ["CT"]}]}, ConfigError, "bundle"),
        ({"rules": [{"bundle": "lung_cxr_segmentation", "plain": "axial"}]}, ConfigError, "plain"),
        ({"rules": [{"bundle": "lung_cxr_segmentation", "plane": "flat"}]}, ConfigError, "`plane` must be"),
        ({"rules": [{"bundle": "lung_cxr_segmentation", "body_part": "("}]}, ConfigError, "`body_part` must be"),
        ({"rules": [{"bundle": "no_such_bundle"}]}, BundleError, "no_such_bundle"),
    ],
)
def test_a_wrong_file_says_where(content, error, said, tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))

    with pytest.raises(error, match=said):
        read_routes(path)
