"""One task in a container: what it takes, what it writes, and what it says of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import phantoms
import pydicom
import pytest
from PIL import Image

from monai_semigan import SegmenterOptions, SegmentOptions
from monai_semigan.atomic import scratch_folder
from monai_semigan.errors import BundleError, ConfigError, InputError, OutputError
from monai_semigan.pacs import module_results
from monai_semigan.pacs.module import ModuleResult, run_module
from monai_semigan.pacs.module_settings import MAX_TASK_BYTES, ModuleRequest, read_task
from monai_semigan.settings import read_settings

SETTINGS = {"steps": 0, "device": "cpu", "dicom": {"empty": "write"}}
DX = "1.2.840.10008.5.1.4.1.1.1.1"
SECRETS = ("Geheim", "PID4711", "Secret")


def write_task(folder: Path, **settings: object) -> None:
    """As mercure writes it, with the patient's data that it holds."""
    task = {
        "info": {"action": "process", "uid": "1.2.3", "patient_name": "Geheim^Grete", "mrn": "PID4711"},
        "id": "1",
        "dispatch": {},
        "process": {"module_name": "semigan", "module_config": {"settings": {}}, "settings": settings},
        "study": {},
    }
    (folder / "task.json").write_text(json.dumps(task))


def as_mercure(files: list[Path], folder: Path) -> list[pydicom.Dataset]:
    """Move files to the names that mercure gives them, with a file of tags beside each."""
    folder.mkdir(exist_ok=True)
    moved = []
    for file in files:
        header = pydicom.dcmread(file, stop_before_pixels=True)
        stem = f"{header.SeriesInstanceUID}#{header.SOPInstanceUID}"
        file.rename(folder / f"{stem}.dcm")
        (folder / f"{stem}.tags").write_text('{"PatientName": "Geheim^Grete"}')
        moved.append(header)
    return moved


@pytest.fixture
def series(tmp_path: Path) -> tuple[Path, pydicom.Dataset]:
    """mercure's input folder with one CT series, and a header of it."""
    files = phantoms.write_series(tmp_path / "made", phantoms.phantom(), "CT")
    (header, *_) = as_mercure(files, tmp_path / "in")
    return tmp_path / "in", header


@pytest.fixture
def radiograph(make_xray, dicom_files):
    """Write a radiograph, or an object of another class."""

    def write(path: Path, *, seed: int = 0, **values: object) -> Path:
        pixels, _ = make_xray(40, 50, seed=seed)
        values = {"Modality": "DX", "SOPClassUID": DX} | values
        dataset = dicom_files.instance(pixels.astype(np.uint16), **values)
        dataset.SeriesInstanceUID = pydicom.uid.generate_uid()
        return dicom_files.save(dataset, path)

    return write


def mercure(source: Path, output: Path, request: ModuleRequest | None = None) -> ModuleResult:
    return run_module(source, output, request=request or ModuleRequest(), contract="mercure")


def folder_request(bundle: Path, **changes: object) -> ModuleRequest:
    options = SegmentOptions(segmenter=SegmenterOptions(steps=0), device="cpu", **changes)
    return ModuleRequest(bundle=str(bundle), options=options)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_mercure_gets_a_segmentation_of_its_series(series, volume_bundle, tmp_path):
    source, header = series
    write_task(source, bundle=str(volume_bundle), **SETTINGS)
    before = names_in(source)

    result = mercure(source, tmp_path / "out")

    assert result.status == "done" and len(result.cases) == 1
    assert names_in(source) == before
    written = names_in(tmp_path / "out") - {"result.json"}
    (name,) = written
    seg = pydicom.dcmread(tmp_path / "out" / name)
    assert name == f"{seg.SeriesInstanceUID}#{seg.SOPInstanceUID}.dcm"
    assert seg.Modality == "SEG" and seg.StudyInstanceUID == header.StudyInstanceUID
    assert seg.SeriesInstanceUID != header.SeriesInstanceUID
    said = json.loads((tmp_path / "out" / "result.json").read_text())
    assert read_settings(ModuleResult, said, "result.json") == result
    assert said["cases"][0]["files"].keys() == {"seg.dcm"} and said["num_files"] == phantoms.SIZES[2]


def test_two_series_give_two_segmentations(series, volume_bundle, tmp_path):
    source, header = series
    again = phantoms.write_series(tmp_path / "second", phantoms.phantom(seed=1), "MR")
    (other, *_) = as_mercure(again, source)
    write_task(source, bundle=str(volume_bundle), **SETTINGS)

    result = mercure(source, tmp_path / "out")

    assert len(result.cases) == 2 and {case.modality for case in result.cases} == {"CT", "MR"}
    segs = [pydicom.dcmread(path) for path in (tmp_path / "out").glob("*#*.dcm")]
    referenced = {seg.ReferencedSeriesSequence[0].SeriesInstanceUID for seg in segs}
    assert referenced == {header.SeriesInstanceUID, other.SeriesInstanceUID}


def test_rules_of_the_task_choose_the_series(series, volume_bundle, tmp_path):
    source, _ = series
    as_mercure(phantoms.write_series(tmp_path / "second", phantoms.phantom(seed=1), "MR"), source)
    write_task(source, bundle=str(volume_bundle), rules={"modalities": ["mr"]}, **SETTINGS)

    result = mercure(source, tmp_path / "out")

    assert [case.modality for case in result.cases] == ["MR"]


def test_a_task_without_a_matching_series_is_no_fault(series, volume_bundle, tmp_path):
    source, _ = series
    write_task(source, bundle=str(volume_bundle), rules={"modalities": ["PT"]}, **SETTINGS)

    result = mercure(source, tmp_path / "out")

    assert result.status == "nothing to segment" and not result.has_failures
    assert "modality CT, not PT" in result.reason
    assert names_in(tmp_path / "out") == {"result.json"}


def test_radiographs_are_told_from_what_else_a_study_holds(radiograph, tiny_bundle, tmp_path):
    files = [
        radiograph(tmp_path / "a.dcm"),
        radiograph(tmp_path / "b.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.7"),
        radiograph(tmp_path / "c.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4"),
        radiograph(tmp_path / "d.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT"),
        radiograph(tmp_path / "e.dcm", Modality="MG"),
    ]
    report = pydicom.dcmread(files[0])
    del report.PixelData, report.Rows, report.Columns
    report.SOPInstanceUID = pydicom.uid.generate_uid()
    report.save_as(tmp_path / "f.dcm")
    as_mercure([*files, tmp_path / "f.dcm"], tmp_path / "in")
    write_task(tmp_path / "in", bundle=str(tiny_bundle), rules={"modalities": ["DX"]}, **SETTINGS)

    result = mercure(tmp_path / "in", tmp_path / "out")

    assert [case.case for case in result.cases] == ["instance-000001"] and result.status == "done"
    assert result.left == {
        "a secondary capture": 1,
        "a segmentation": 1,
        "a slice of a volume": 1,
        "modality MG, not DX": 1,
        "no image": 1,
    }
    assert len(list((tmp_path / "out").glob("*#*.dcm"))) == 1


def test_what_cannot_be_segmented_is_named_by_number(radiograph, tiny_bundle, tmp_path):
    files = [radiograph(tmp_path / "a.dcm"), radiograph(tmp_path / "b.dcm", seed=1)]
    as_mercure(files, tmp_path / "in")
    broken = max((tmp_path / "in").glob("*.dcm"))
    broken.write_bytes(broken.read_bytes()[:-900])
    write_task(tmp_path / "in", bundle=str(tiny_bundle), **SETTINGS)

    result = mercure(tmp_path / "in", tmp_path / "out")

    assert result.status == "some failed" and result.has_failures
    assert [failure.source for failure in result.failures] == ["instance-000002.dcm"]
    assert len(list((tmp_path / "out").glob("*#*.dcm"))) == 1


def test_nothing_of_the_patient_is_in_results_but_dicom(series, volume_bundle, tmp_path, caplog):
    source, header = series
    write_task(source, bundle=str(volume_bundle), **SETTINGS)
    caplog.set_level("DEBUG")
    mercure(source, tmp_path / "out")
    request = folder_request(volume_bundle)
    run_module(source, tmp_path / "plain", request=request)

    plain = [path for path in (tmp_path / "plain").rglob("*") if path.is_file() and path.suffix != ".dcm"]
    said = [path.read_text(errors="replace") for path in [tmp_path / "out" / "result.json", *plain]]
    uids = [header.SeriesInstanceUID, header.StudyInstanceUID, header.SOPInstanceUID]
    assert len(said) > 5
    for text in [*said, caplog.text, *map(str, plain)]:
        for secret in (*SECRETS, *uids):
            assert secret not in text


def test_the_plain_contract_writes_what_segment_writes(xray_files, tiny_bundle, tmp_path):
    result = run_module(xray_files / "images", tmp_path / "out", request=folder_request(tiny_bundle))

    cases = {f"case{at}" for at in range(4)}
    assert names_in(tmp_path / "out") == cases | {"report.html", "report.json", "result.json"}
    assert result.status == "done" and {case.case for case in result.cases} == cases
    with Image.open(tmp_path / "out" / "case0" / "label.png") as label:
        assert label.size == (97, 81)


def test_an_output_inside_the_input_is_not_read(xray_files, tiny_bundle):
    source = xray_files / "images"
    result = run_module(source, source / "out", request=folder_request(tiny_bundle))

    assert len(result.cases) == 4


@pytest.mark.parametrize("kind", ["tiny_bundle", "volume_bundle"])
def test_an_empty_folder_has_nothing_to_segment(kind, request, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("none")
    for contract in ("mercure", "folder"):
        asked = folder_request(request.getfixturevalue(kind), formats=("dicom-seg",))
        result = run_module(tmp_path / "in", tmp_path / contract, request=asked, contract=contract)
        assert result.status == "nothing to segment" and result.reason
        assert names_in(tmp_path / contract) == {"result.json"}


def test_the_task_goes_before_the_command_line(series, volume_bundle, tmp_path):
    source, _ = series
    write_task(source, steps=0, dicom={"empty": "write"}, formats=["dicom-seg", "dicom-preview"])
    request = ModuleRequest(
        bundle=str(volume_bundle), options=SegmentOptions(device="cpu", segmenter=SegmenterOptions(steps=3))
    )

    result = mercure(source, tmp_path / "out", request)

    assert result.cases[0].request["inversion"]["CT"]["steps"] == 0
    assert result.cases[0].files.keys() == {"seg.dcm", "preview.dcm"}
    assert len(list((tmp_path / "out").glob("*#*.dcm"))) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "must be JSON"),
        (b"[1]", "`task.json` must be an object, got list"),
        (b"[" * 100_000, "must be JSON"),
        (b'{"process": 3}', "`process in task.json` must be an object, got int"),
        (b'{"process": [{}, {}]}', "must be one step, got 2"),
        (b'{"process": {"settings": [1]}}', "must be an object"),
        (b'{"process": {"settings": {"step": 3}}}', "known keys"),
        (b'{"process": {"settings": {"steps": -1}}}', "`steps` in `process.settings in task.json` must be"),
        (b'{"process": {"settings": {"steps": 1e999}}}', "`steps`"),
        (b'{"process": {"settings": {"device": "tpu"}}}', "`device`"),
        (b'{"process": {"settings": {"rules": {"description": "("}}}}', "regular expression"),
        (b'{"process": {"settings": {"rules": {"plane": "up"}}}}', "`plane`"),
        (b'{"process": {"settings": {"max_memory_gib": 0}}}', "`max_memory_gib`"),
        (b" " * (MAX_TASK_BYTES + 1), "at most"),
    ],
)
def test_a_bad_task_is_refused_with_its_reason(content, message, tmp_path):
    (tmp_path / "task.json").write_bytes(content)

    with pytest.raises(ConfigError) as caught:
        read_task(tmp_path)

    assert message in str(caught.value) and len(str(caught.value)) < 600


@pytest.mark.parametrize("process", [{}, [], None, {"settings": {}}, {"settings": None}, [{"settings": {"_note": 1}}]])
def test_a_task_without_settings_is_one(process, tmp_path):
    (tmp_path / "task.json").write_text(json.dumps({"process": process}))

    assert read_task(tmp_path).over(ModuleRequest(bundle="x")) == ModuleRequest(bundle="x")


def test_a_task_that_is_no_file_is_refused(tmp_path):
    (tmp_path / "task.json").mkdir()
    with pytest.raises(ConfigError, match="regular file"):
        read_task(tmp_path)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({}, ConfigError, "`bundle` must be named"),
        ({"bundle": "no_such_bundle"}, BundleError, "no_such_bundle"),
        ({"bundle": "/etc"}, BundleError, "must be a bundle"),
        ({"bundle": "x", "formats": ["nifti"]}, ConfigError, "must be of dicom-seg, .*dicom-preview here, got nifti"),
        ({"bundle": "x", "formats": []}, ConfigError, "formats"),
        ({"bundle": "x", "formats": ["exe"]}, ConfigError, "exe"),
    ],
)
def test_a_task_that_cannot_be_done_leaves_nothing(settings, error, message, series, tmp_path):
    write_task(series[0], **settings)
    (tmp_path / "out").mkdir()

    with pytest.raises(error, match=message):
        mercure(series[0], tmp_path / "out")

    assert names_in(tmp_path / "out") == set()


def test_a_missing_input_and_an_input_that_is_the_output_are_refused(tiny_bundle, tmp_path):
    with pytest.raises(InputError, match="Is it mounted"):
        run_module(tmp_path / "none", tmp_path / "out", request=folder_request(tiny_bundle))
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(ConfigError, match="`output` must not be a folder of inputs"):
        run_module(tmp_path / "in", tmp_path / "link", request=folder_request(tiny_bundle))
    assert names_in(tmp_path / "in") == set()


def test_an_output_that_holds_something_is_refused(xray_files, tiny_bundle, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept.txt").write_text("kept")

    with pytest.raises(OutputError, match="must be empty"):
        run_module(xray_files / "images", tmp_path / "out", request=folder_request(tiny_bundle))

    assert names_in(tmp_path / "out") == {"kept.txt"}


def test_an_output_that_is_a_file_is_refused(xray_files, tiny_bundle, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="must be a folder that can be written"):
        run_module(xray_files / "images", tmp_path / "out", request=folder_request(tiny_bundle))


def test_a_fault_while_moving_leaves_nothing(xray_files, tiny_bundle, tmp_path, monkeypatch):
    rename, seen = Path.rename, []

    def failing(path: Path, target: Path) -> Path:
        if target.parent == tmp_path / "out":
            seen.append(target.name)
            if len(seen) == 3:
                raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OutputError, match=r"could not be moved .*No space left"):
        run_module(xray_files / "images", tmp_path / "out", request=folder_request(tiny_bundle))

    assert len(seen) == 3 and names_in(tmp_path / "out") == set()


def test_what_a_killed_task_had_moved_is_removed(xray_files, tiny_bundle, tmp_path):
    output, kept = tmp_path / "out", tmp_path / "kept"
    (output / "case0").mkdir(parents=True)
    (output / "case0" / "label.png").write_text("half")
    kept.write_text("kept")
    (output / module_results.MOVED_NAME).write_text(json.dumps(["case0", "case9", "../kept", "..", "", 3]))

    result = run_module(xray_files / "images", output, request=folder_request(tiny_bundle))

    assert len(result.cases) == 4 and kept.exists()
    assert module_results.MOVED_NAME not in names_in(output)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / module_results.MOVED_NAME).write_text("{")
    with pytest.raises(OutputError, match="Empty it"):
        run_module(xray_files / "images", tmp_path / "other", request=folder_request(tiny_bundle))


def test_what_a_task_of_another_container_was_making_is_removed(xray_files, tiny_bundle, tmp_path):
    left = tmp_path / "out" / ".module.k3_x.1-00000012ab.tmp"
    (left / "made").mkdir(parents=True)

    run_module(xray_files / "images", tmp_path / "out", request=folder_request(tiny_bundle))

    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_an_output_in_which_another_task_works_is_refused(xray_files, tiny_bundle, tmp_path):
    (tmp_path / "out").mkdir()
    with (
        scratch_folder(tmp_path / "out", module_results.SCRATCH_NAME) as other,
        pytest.raises(OutputError, match="another one works there"),
    ):
        run_module(xray_files / "images", tmp_path / "out", request=folder_request(tiny_bundle))
    assert not other.exists()


def test_files_are_copied_where_there_are_no_links(series, volume_bundle, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    write_task(series[0], bundle=str(volume_bundle), **SETTINGS)
    monkeypatch.setattr(Path, "symlink_to", refuse)

    assert mercure(series[0], tmp_path / "out").status == "done"


def test_no_folder_for_temporary_files_is_needed(series, volume_bundle, tmp_path, monkeypatch):
    write_task(series[0], bundle=str(volume_bundle), **SETTINGS)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))

    assert mercure(series[0], tmp_path / "out").status == "done"
