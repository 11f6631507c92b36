"""From images to a bundle of one's own: train, resume, encode, pack, synthesize, segment, evaluate."""

from __future__ import annotations

import json

import click
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from monai_semigan.bundle.bundle import open_bundle
from monai_semigan.cli.main import cli
from monai_semigan.errors import BundleError, CheckpointError, ConfigError, InputError
from monai_semigan.networks.checkpoint import part_of
from monai_semigan.networks.checkpoint_file import file_digest, read_state_dict
from monai_semigan.training.teacher import LabelTeacher, save_teacher
from monai_semigan.workflows import train

pytestmark = pytest.mark.e2e


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], standalone_mode=False)


def test_the_whole_path(xray_files, datalist, tiny_bundle, tmp_path):
    gan, encoder, mine = tmp_path / "gan", tmp_path / "encoder", tmp_path / "mine"
    common = ("-b", tiny_bundle, "--data", datalist, "--device", "cpu")

    assert run("train", "gan", gan, *common).exception is None
    assert run("train", "gan", gan, *common, "--resume", "--kimg", "0.02").exception is None
    assert run("train", "encoder", encoder, *common, "--gan", gan).exception is None
    assert run("pack", mine, "-b", tiny_bundle, "--weights", encoder / "best.pt").exception is None
    assert open_bundle(tiny_bundle).image_chain.min_expected_dice == 0.93
    assert open_bundle(mine).image_chain.min_expected_dice is None, "the limit was found for other weights"
    assert run("tune", "-b", mine, "--data", datalist, "--steps", "1", "--write").exception is None
    limit = open_bundle(mine).image_chain.min_expected_dice
    assert 0 < limit < 1
    assert run("pack", mine, "-b", mine, "--weights", encoder / "best.pt", "--overwrite").exception is None
    assert open_bundle(mine).image_chain.min_expected_dice == limit, "the weights are the same"
    assert run("synthesize", "-b", mine, "-o", tmp_path / "made", "-n", "5").exception is None
    segmented = run("segment", xray_files / "images", "-b", mine, "-o", tmp_path / "out")
    evaluated = run(
        "evaluate",
        "--predictions",
        tmp_path / "out",
        "--references",
        xray_files / "masks",
        "--binary",
        "-o",
        tmp_path / "scores",
        "--json",
    )

    assert segmented.return_value == 0
    assert evaluated.return_value == 0
    summary = json.loads(evaluated.stdout)
    assert summary["counts"]["cases"] == 4 and summary["summary"][0]["class_name"] == "lung"
    assert len((gan / "stats.jsonl").read_text().splitlines()) == 4
    assert run("watch", gan, "--once", "--no-browser").exception is None
    assert "Samples now" in (gan / "watch.html").read_text() and "Losses" in (gan / "watch.html").read_text()
    assert len(list((tmp_path / "made" / "labels").iterdir())) == 5
    record = json.loads((gan / "resolved_config.json").read_text())
    assert len(record["config"]["data_digest"]) == 64 and record["config"]["network"]["image_size"] == 32


def test_an_encoder_takes_another_teacher(datalist, tiny_bundle, tmp_path):
    teacher, encoder = tmp_path / "mine.pt", tmp_path / "encoder"
    save_teacher(teacher, LabelTeacher(image_channels=1, num_classes=2, features=(4, 4)))
    common = ("-b", tiny_bundle, "--data", datalist, "--device", "cpu", "--kimg", "0.008")
    start = ("--start", tiny_bundle / "models" / "model.pt")

    assert run("train", "encoder", encoder, *common, *start, "--teacher", teacher).exception is None

    record = json.loads((encoder / "resolved_config.json").read_text())
    assert record["config"]["teacher"] == file_digest(teacher)
    assert all("loss_teacher" in line for line in (encoder / "stats.jsonl").read_text().splitlines())
    refused = run("train", "encoder", tmp_path / "b", *common, *start, "--teacher", datalist)
    assert isinstance(refused.exception, CheckpointError)


def test_a_bundle_gets_a_spatial_embedding(xray_files, datalist, tiny_bundle, edit_bundle, tiny_settings, tmp_path):
    """From the bundle's own weights, first with a GAN's run, then with the generator that the packed bundle has."""
    old = tmp_path / "old.pt"
    old.write_bytes((tiny_bundle / "models" / "model.pt").read_bytes())
    edit_bundle(
        tiny_bundle,
        network=tiny_settings | {"feature_sizes": [8, 16]},
        inversion={"steps": 2, "optimize": "both"},
        weights=None,
    )
    common = ("-b", tiny_bundle, "--data", datalist, "--device", "cpu", "--kimg", "0.008")  # two iterations
    first, second = tmp_path / "first", tmp_path / "second"

    assert run("train", "gan", tmp_path / "gan", *common).exception is None
    assert run("train", "encoder", first, *common, "--gan", tmp_path / "gan", "--start", old).exception is None
    trained = read_state_dict(first / "best.pt")
    offsets = {name: value for name, value in trained.items() if name.startswith("encoder.pyramid.outputs.")}
    assert len(offsets) == 4 and all(bool(value.any()) for value in offsets.values())
    moved = (trained["encoder.stem.weight"] - read_state_dict(old)["encoder.stem.weight"]).abs().max()
    assert 0 < moved < 2 * 0.3e-3
    assert run("pack", tmp_path / "mine", "-b", tiny_bundle, "--weights", first / "best.pt").exception is None
    packed = tmp_path / "mine" / "models" / "model.pt"
    own = ("-b", tmp_path / "mine", *common[2:], "--start", packed)
    assert run("train", "encoder", second, *own).exception is None
    assert run("train", "encoder", second, *own, "--resume").exception is None
    assert len((second / "stats.jsonl").read_text().splitlines()) == 1
    for name in ("generator.synthesis.const", "d_image.output.weight"):
        assert torch.equal(read_state_dict(second / "best.pt")[name], read_state_dict(packed)[name].float())

    segmented = run("segment", xray_files / "images", "-b", tmp_path / "mine", "-o", tmp_path / "out")
    assert segmented.return_value == 0
    case = json.loads((tmp_path / "out" / "case0" / "case.json").read_text())
    assert case["steps_taken"] == 2 and case["reconstruction"]["refined"] <= case["reconstruction"]["encoder"]
    assert json.loads((second / "stats.jsonl").read_text())["loss_features"] > 0


def test_the_start_of_an_encoder_is_checked(datalist, tiny_bundle, tmp_path):
    weights = tiny_bundle / "models" / "model.pt"
    common = ("train", "encoder", tmp_path / "e", "-b", tiny_bundle, "--data", datalist, "--device", "cpu")

    result = run(*common)
    assert isinstance(result.exception, ConfigError) and "--gan" in str(result.exception)
    torch.save({"encoder.stem.weight": torch.zeros(1)}, tmp_path / "other.pt")
    result = run(*common, "--start", tmp_path / "other.pt")
    assert isinstance(result.exception, CheckpointError) and "missing" in str(result.exception)
    state = read_state_dict(weights)
    torch.save({name: value for name, value in state.items() if "encoder" not in name}, tmp_path / "gan_alone.pt")
    result = run(*common, "--start", tmp_path / "gan_alone.pt")
    assert isinstance(result.exception, CheckpointError) and "none of them fits" in str(result.exception)
    assert not (tmp_path / "e").exists()
    assert run(*common, "--start", weights, "--kimg", "0.004").exception is None
    torch.save({name: value + 1 for name, value in state.items()}, tmp_path / "changed.pt")
    result = run(*common, "--start", tmp_path / "changed.pt", "--kimg", "0.004", "--resume")
    assert isinstance(result.exception, ConfigError) and "another start" in str(result.exception)


def test_an_encoder_goes_on_with_its_gan_alone(datalist, tiny_bundle, tmp_path):
    common = ("-b", tiny_bundle, "--data", datalist, "--device", "cpu", "--kimg", "0.004")
    for name in ("gan", "other"):
        assert run("train", "gan", tmp_path / name, *common).exception is None
    snapshot = next((tmp_path / "other").glob("snapshot-*.pt"))
    content = torch.load(snapshot, weights_only=True)
    content["seen_elsewhere"] = torch.zeros(1)
    torch.save(content, snapshot)
    assert run("train", "encoder", tmp_path / "e", *common, "--gan", tmp_path / "gan").exception is None

    result = run("train", "encoder", tmp_path / "e", *common, "--gan", tmp_path / "other", "--resume")

    assert isinstance(result.exception, ConfigError) and "another gan_snapshot" in str(result.exception)
    record_file = tmp_path / "e" / "resolved_config.json"
    record = json.loads(record_file.read_text())
    record["config"]["gan_snapshot"] = record["config"]["gan_snapshot"]["file"]  # as earlier versions wrote it
    del record["config"]["perceptual"]
    record_file.write_text(json.dumps(record))
    assert run("train", "encoder", tmp_path / "e", *common, "--gan", tmp_path / "gan", "--resume").exception is None


def test_an_encoder_goes_on_with_the_same_perceptual_loss_alone(datalist, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "MonaiPerceptualDistance", lambda **_: None)
    weights = tiny_bundle / "models" / "model.pt"
    common = ("train", "encoder", tmp_path / "e", "-b", tiny_bundle, "--data", datalist, "--device", "cpu")
    common += ("--kimg", "0.004", "--start", weights)
    assert run(*common).exception is None
    path = tiny_bundle / "configs" / "train_encoder.json"
    config = json.loads(path.read_text())
    config["trainer"]["perceptual"] = {"network_type": "resnet50", "pretrained_path": "resnet50.pt"}
    path.write_text(json.dumps(config))

    result = run(*common, "--resume")

    assert isinstance(result.exception, ConfigError) and "another perceptual" in str(result.exception)


def test_less_than_an_image_is_refused_and_one_sample_is_enough(datalist, tiny_bundle, tmp_path):
    common = ("-b", tiny_bundle, "--data", datalist, "--device", "cpu")
    result = run("train", "gan", tmp_path / "g", *common, "--kimg", "0.0004")
    assert isinstance(result.exception, ConfigError) and "total_kimg" in str(result.exception)
    assert not (tmp_path / "g").exists()
    path = tiny_bundle / "configs" / "train_encoder.json"
    config = json.loads(path.read_text())
    config["trainer"]["run"] |= {"num_samples": 1}
    path.write_text(json.dumps(config))
    weights = tiny_bundle / "models" / "model.pt"
    assert run("train", "encoder", tmp_path / "e", *common, "--start", weights, "--kimg", "0.004").exception is None
    assert list((tmp_path / "e").glob("validation-*.png"))


@pytest.mark.parametrize("seed", ["-1", "1180591620717411303424"])
@pytest.mark.parametrize("command", [("train", "teacher", "out"), ("fit", "-o", "out"), ("adapt", "x", "-o", "out")])
def test_seeds_out_of_range_are_refused(datalist, tiny_bundle, command, seed):
    arguments = ("--data", datalist, "-b", tiny_bundle) if command[0] == "train" else (datalist,)
    result = run(*command, *arguments, "--seed", seed)
    assert isinstance(result.exception, click.BadParameter) and "0<=x<=2147483648" in str(result.exception)


def test_training_refuses_what_cannot_work(datalist, tiny_bundle, tmp_path):
    common = ("-b", tiny_bundle, "--device", "cpu")
    result = run("train", "encoder", tmp_path / "e", *common, "--data", datalist, "--gan", tmp_path / "none")
    assert isinstance(result.exception, CheckpointError) and "train gan" in str(result.exception)
    result = run("train", "gan", tmp_path / "g", *common, "--data", tmp_path / "no.json")
    assert isinstance(result.exception, InputError)
    content = json.loads(datalist.read_text())
    datalist.write_text(json.dumps(content | {"labelled": []}))
    result = run("train", "gan", tmp_path / "g", *common, "--data", datalist)
    assert isinstance(result.exception, ConfigError) and "labelled" in str(result.exception)
    datalist.write_text(json.dumps(content | {"label_values": "classes"}))
    result = run("train", "gan", tmp_path / "g", *common, "--data", datalist)
    assert isinstance(result.exception, InputError) and "class ids 0 to 1" in str(result.exception)


def test_labels_of_another_size_are_refused(xray_files, datalist, tiny_bundle, tmp_path):
    Image.new("L", (20, 20), 255).save(xray_files / "masks" / "case0.png")

    result = run("train", "gan", tmp_path / "g", "-b", tiny_bundle, "--data", datalist)

    assert isinstance(result.exception, InputError) and "case0.png" in str(result.exception)


def test_a_bundle_is_not_replaced_by_accident(tiny_bundle, tmp_path):
    result = run("pack", tiny_bundle, "-b", tiny_bundle, "--weights", tmp_path / "none.pt")

    assert isinstance(result.exception, BundleError) and "--overwrite" in str(result.exception)


def test_the_teacher_becomes_the_direct_route(datalist, tiny_bundle, edit_bundle, tiny_settings, tmp_path):
    teacher = LabelTeacher(image_channels=1, num_classes=2, features=(4, 4))
    save_teacher(tmp_path / "mine.pt", teacher)
    common = ("-b", tiny_bundle, "--data", datalist, "--device", "cpu", "--kimg", "0.008")
    start = ("--start", tiny_bundle / "models" / "model.pt")

    def direct(name: str) -> dict[str, torch.Tensor]:
        return part_of(read_state_dict(tmp_path / name / "best.pt"), "encoder.direct")

    assert run("train", "encoder", tmp_path / "a", *common, *start, "--teacher", tmp_path / "mine.pt").exception is None
    assert all(torch.equal(value, direct("a")[name]) for name, value in teacher.net.state_dict().items())

    # Without a teacher, that of the weights it starts from stays, untrained.
    assert run("train", "encoder", tmp_path / "b", *common, *start).exception is None
    before = part_of(read_state_dict(start[1]), "encoder.direct")
    assert all(torch.equal(value, before[name]) for name, value in direct("b").items())

    # There must be one, and it must fit.
    state = read_state_dict(start[1])
    torch.save({name: v for name, v in state.items() if ".direct." not in name}, tmp_path / "old.pt")
    refused = run("train", "encoder", tmp_path / "c", *common, "--start", tmp_path / "old.pt")
    assert isinstance(refused.exception, ConfigError) and "must have a teacher" in str(refused.exception)
    edit_bundle(tiny_bundle, network=tiny_settings | {"direct_widths": [4, 8]}, weights=None)
    refused = run("train", "encoder", tmp_path / "d", *common, *start, "--teacher", tmp_path / "mine.pt")
    assert isinstance(refused.exception, ConfigError) and "must have the network" in str(refused.exception)
