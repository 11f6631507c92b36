# SPDX-License-Identifier: Apache-2.0
"""A warm segmenter: one label per source, whatever is segmented beside it; what a result is and can be saved as."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest
from matplotlib.figure import Figure
from PIL import Image

import monai_semigan as semigan
from monai_semigan.bundles import bundle_root
from monai_semigan.errors import ConfigError, InputError, OutputError
from monai_semigan.segmentation import outputs
from monai_semigan.segmentation.segmenter import Segmenter

SAMPLES = bundle_root("lung_cxr_segmentation") / "samples" / "images"


@pytest.fixture
def images(tiny_bundle: Path) -> Segmenter:
    return semigan.load_bundle(tiny_bundle).segmenter(device="cpu")


@pytest.fixture
def volumes(volume_bundle: Path) -> Segmenter:
    return semigan.load_bundle(volume_bundle).segmenter(device="cpu")


@pytest.fixture
def drawn_volume() -> Any:
    drawn = phantoms.phantom()
    return semigan.read(drawn.voxels_ct, spacing_mm=drawn.grid.spacing_mm, modality="CT")


def test_an_image_has_one_label_alone_among_others_and_in_another_order() -> None:
    """Bit for bit, with a shipped bundle's real network and inversion, on its sample radiographs."""
    model = semigan.load_bundle("lung_cxr_segmentation").segmenter(device="cpu", steps=2)
    sources = [semigan.read(path) for path in sorted(SAMPLES.iterdir()) if path.suffix in (".png", ".jpg", ".dcm")]
    first = sources[0]

    alone = model.segment(first)
    among = model.segment_all([*sources[1:], first])[-1]
    more = model.segment_all([sources[-1], first, first, *sources[1:], *sources])[1]

    assert len(sources) >= 2 and 0.05 < (alone.label > 0).mean() < 0.8
    for other in (among, more):
        np.testing.assert_array_equal(other.label, alone.label)
        assert other.trace == alone.trace and other.expected_dice == alone.expected_dice
        assert other.reconstruction is not None
        np.testing.assert_array_equal(other.reconstruction, alone.reconstruction)


def test_a_volume_has_one_label_whatever_was_segmented_before(volumes, drawn_volume) -> None:
    other = semigan.read(np.roll(phantoms.phantom(seed=3).voxels_ct, 5, axis=0), modality="CT")
    first = volumes.segment(drawn_volume).label

    np.testing.assert_array_equal(volumes.segment_all([other, drawn_volume])[1].label, first)
    assert 0 < first.mean() < 1


@pytest.mark.parametrize("kind", ["image", "volume"])
@pytest.mark.parametrize("is_blind", [False, True])
def test_reconstruction_is_measured_as_the_inversion_compares(kind, is_blind, request, edit_bundle, make_xray) -> None:
    """By squared differences, or by local correlation where they would say nothing."""
    bundle = request.getfixturevalue("tiny_bundle" if kind == "image" else "volume_bundle")
    blind = {"image_weight": 0.0, "perceptual_weight": 0.0, "correlation_weight": 1.0} if is_blind else {}
    inversion = {"steps": 1, **blind}
    edit_bundle(bundle, inversion=inversion if kind == "image" else {"CT": inversion, "MR": {"steps": 1}})
    source = semigan.read(make_xray()[0] if kind == "image" else phantoms.phantom().voxels_ct, modality="CT")

    result = semigan.load_bundle(bundle).segmenter(device="cpu").segment(source)

    measured = result.record.reconstruction
    assert measured.measure == ("local_correlation" if is_blind else "mean_squared")
    assert measured.encoder is not None and measured.refined is not None
    if kind == "image":
        assert result.view is not None and result.reconstruction is not None
        squared = float(np.square(result.view.image - result.reconstruction).mean())
        assert (measured.refined == pytest.approx(squared, rel=1e-4)) is not is_blind
    if is_blind:
        assert 0 <= measured.refined <= 1 and 0 <= measured.encoder <= 1


def test_slow_bfloat16_is_said_once_for_all_images(tiny_bundle, make_xray, monkeypatch, caplog) -> None:
    monkeypatch.setattr("monai_semigan.ops.precision.bfloat16_obstacle", lambda *_, **__: "the processor is old")
    options = semigan.SegmenterOptions(compute_dtype="bfloat16", batch_size=1)
    model = semigan.load_bundle(tiny_bundle).segmenter(device="cpu", options=options)
    source = semigan.read(make_xray()[0])

    for _ in range(2):
        model.segment_all([source, source])

    assert [record.getMessage() for record in caplog.records].count(
        "bfloat16 would be slow here, as the processor is old: the inversion computes in float32."
    ) == 1


def test_a_source_of_the_other_kind_is_refused_in_one_line(images, volumes, drawn_volume, make_xray) -> None:
    for model, source, name in ((images, drawn_volume, "images"), (volumes, semigan.read(make_xray()[0]), "volumes")):
        with pytest.raises(InputError, match=f"which is for {name}") as caught:
            model.segment(source)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((40, 40)),
        np.full((40, 40), np.nan),
        np.full((40, 40), np.inf),
        np.zeros((0, 40)),
        np.zeros((5, 5)),
        np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8),
    ],
    ids=["constant", "nan", "inf", "empty", "tiny", "color"],
)
def test_arrays_that_show_nothing_are_refused(values: np.ndarray, images: Segmenter) -> None:
    with pytest.raises(InputError):
        images.segment(semigan.read(values))


@pytest.mark.parametrize(
    "dtype", [np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float16, np.float32, np.float64]
)
def test_the_number_type_of_an_array_is_nothing(dtype, images: Segmenter) -> None:
    values = (np.indices((40, 48)).sum(axis=0) // 9 % 2).astype(np.uint8)

    result = images.segment(semigan.read(values.astype(dtype)))

    np.testing.assert_array_equal(result.label, images.segment(semigan.read(values)).label)


def test_deterministic_and_other_batches_say_what_they_are(tiny_bundle, make_xray) -> None:
    bundle, source = semigan.load_bundle(tiny_bundle), semigan.read(make_xray()[0])
    for options, size in (({}, 4), ({"batch_size": 2}, 2), ({"batch_size": 2, "deterministic": True}, 1)):
        model = bundle.segmenter(device="cpu", options=semigan.SegmenterOptions(**options))
        assert model.sources_at_once == size
        assert model.segment(source).record.request["batch_size"] == size
    with pytest.raises(ConfigError, match="`batch_size` must be >= 1"):
        semigan.SegmenterOptions(batch_size=0)
    with pytest.raises(ConfigError, match="`modality` must be auto or one of image, got 'CT'"):
        bundle.segmenter(device="cpu", options=semigan.SegmenterOptions(modality="CT"))


def test_a_notebook_needs_four_lines(tiny_bundle, xray_files, tmp_path) -> None:
    model = semigan.load_bundle(tiny_bundle).segmenter()
    result = model.segment(semigan.read(xray_files / "images" / "case0.png"))
    record = result.save(tmp_path / "out")

    assert record.case == "case0" and set(record.files) == {
        "label.png",
        "overlay.png",
        "reconstruction.png",
        "viewer.html",
    }
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out" / "label.png")), result.label)
    assert result.expected_dice.keys() == {"lung"} and isinstance(result.warnings, tuple)
    assert repr(result).startswith("Segmentation('case0', 81 x 97: lung ") and "\n" not in repr(result)
    assert repr(model).startswith("Segmenter(") and repr(result.source).startswith("Source('case0.png', png")
    assert result._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["image", "volume"])
def test_a_result_shows_itself(kind, images, request, make_xray) -> None:
    if kind == "image":
        result = images.segment(semigan.read(make_xray()[0]))
    else:
        result = request.getfixturevalue("volumes").segment(request.getfixturevalue("drawn_volume"))
    figure = result.show()

    assert isinstance(figure, Figure) and len(figure.axes) == (2 if kind == "image" else 1)


def test_a_volume_is_saved_in_every_format_that_fits(volumes, drawn_volume, tmp_path) -> None:
    result = volumes.segment(drawn_volume)
    record = result.save(tmp_path / "v", formats=("nifti", "mha", "nrrd", "montage"))

    assert set(record.files) == {"label.nii.gz", "label.mha", "label.nrrd", "montage.png"}
    for name in ("label.nii.gz", "label.mha", "label.nrrd"):
        saved = semigan.read(tmp_path / "v" / name).data
        np.testing.assert_array_equal(saved.voxels, result.label)
        np.testing.assert_allclose(saved.grid.affine, drawn_volume.data.grid.affine, atol=1e-5)
    for wrong, said in (("gif", "must be of png, .*, got gif"), ("png", "has no png"), ("probability", "has no prob")):
        with pytest.raises(ConfigError, match=said):
            result.save(tmp_path / "w", formats=(wrong,))
    assert not (tmp_path / "w").exists()


def test_saving_never_replaces_a_folder_of_other_things(images, make_xray, tmp_path) -> None:
    result = images.segment(semigan.read(make_xray()[0]))
    (tmp_path / "mine").mkdir()
    result.save(tmp_path / "mine", formats=("png",))  # empty
    result.save(tmp_path / "mine", formats=("overlay",))  # an earlier case
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["case.json", "overlay.png"]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("years of work")

    for target in (tmp_path / "notes", tmp_path / "notes" / "notes.txt"):
        with pytest.raises(OutputError, match="must be new, empty, or hold an earlier case"):
            result.save(target)
    assert (tmp_path / "notes" / "notes.txt").read_text() == "years of work"


def test_a_format_from_elsewhere_is_one_call(images, make_xray, tmp_path, monkeypatch, xray_files, tiny_bundle) -> None:
    monkeypatch.setattr(outputs, "OUTPUTS", dict(outputs.OUTPUTS))
    write: Callable[..., None] = lambda path, result, options: path.write_bytes(result.label.tobytes())  # noqa: E731
    semigan.register_output(semigan.Output("raw", "label.raw", write))
    result = images.segment(semigan.read(make_xray()[0]))

    record = result.save(tmp_path / "out", formats=("raw", "png"))

    assert (tmp_path / "out" / "label.raw").read_bytes() == result.label.tobytes()
    assert set(record.files) == {"label.raw", "label.png"}


def test_the_public_names_are_there_and_documented() -> None:
    assert {"read", "load_bundle", "segment_files", "SegmentOptions", "register_output"} <= set(dir(semigan))
    for name in dir(semigan):
        assert getattr(semigan, name) is not None
        assert name == "__version__" or getattr(semigan, name).__doc__
    with pytest.raises(AttributeError, match="no_such_name"):
        semigan.no_such_name  # noqa: B018
