# SPDX-License-Identifier: Apache-2.0
"""What a hostile bundle tries, and what the shipped bundle needs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from monai_semigan.bundle import audit
from monai_semigan.bundle.audit import audit_bundle, require_clean
from monai_semigan.bundles import bundle_root, list_bundles
from monai_semigan.errors import BundleError

HOSTILE_TARGETS = [
    "os.system",
    "subprocess.Popen",
    "builtins.exec",
    "LoadImaged",
    "scripts.net.Network",
    "monai_semigan_evil.network.Network",
    "monai_semigan.networks.segmenter.torch.load",
    "monai_semigan.networks.checkpoint_file.pickle",
    "monai.data.utils.os.system",
    "monai.data.utils.pickle.loads",
    "monai.data.PersistentDataset",
    "monai.data.NumpyReader",
    "monai.data.CSVDataset",
    "monai.handlers.CheckpointLoader",
    "monai.handlers.MLFlowHandler",
    "ignite.handlers.WandBLogger",
    "torch.utils.data.Dataset",
    "monai.transforms.Lambdad",
    "monai.losses.PerceptualLoss",
    "monai.bundle.download",
    "monai.bundle.ConfigWorkflow",
    "torch.hub.load",
    "torch.load",
    "torch.nn.functional.torch.load",
    "torch.utils.data.dataloader.os.system",
    "torch._C.dummy",
    "$@inferer",
    "@inferer",
    "",
    None,
    3,
    ["os.system"],
    {"_target_": "monai.transforms.Compose"},
]

HOSTILE_EXPRESSIONS = [
    "$__import__('os').system('id')",
    "$import os",
    "$import torch as len",
    "$import torch.hub",
    "$from monai_semigan import ops",
    "$eval('1')",
    "$exec('1')",
    "$open('/etc/passwd').read()",
    "$getattr(@a, 'x')",
    "$().__class__.__bases__",
    "$@network.__class__",
    "$@network.forward.__globals__['os']",
    "$@a#b.__class__.__mro__",
    "$'{0.__class__}'.format(@a)",
    "$@dataloader.multiprocessing_context.reducer.os.system('id')",
    "$torch",
    "$torch.load('models/model.pt')",
    "$torch.hub",
    "$torch.functional.torch.load('x')",
    "$torch.device.mro()",
    "$__local_refs['a']",
    "$os.environ",
    "$monai.bundle.download('x')",
    "$(lambda: 1)()",
    "$[x for x in (1, 2)]",
    "$f'{@a}'",
    "$(x := 1)",
    "$1; 2",
    "$" + "(" * 400,
    "$" + "+".join("1" * 5000),
    "$a\0",
    "$9**9**9**9",
    "$1 << 9999999999",
    "$'a' * 1000000",
    "$[0] * 1000000",
    "$'%1000000000d' % 1",
    "$1000000000",
    "$'" + "a" * 1000 + "'",
]

HARMLESS_EXPRESSIONS = [
    "$@bundle_root + '/models/model.pt'",
    "$@network_def.to(@device)",
    "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
    "$@evaluator.run()",
    "$@train::trainer.run()",
    "$len(@datalist['training']) // 2 + int(@a#b#0 > 0.5)",
    "$dict(a=[1, -2.5], b=(None, True))",
    "$import monai_semigan",
    "$import torch",
]

HOSTILE_LOGGING = [
    ("handler_consoleHandler", "class", "handlers.SocketHandler"),
    ("handler_consoleHandler", "class", "os.system"),
    ("handler_consoleHandler", "args", "(__import__('os').system('id'),)"),
    ("handler_consoleHandler", "kwargs", "{'stream': __import__('os')}"),
    ("formatter_fullFormatter", "class", "evil.Formatter"),
    ("formatter_fullFormatter", "defaults", "{}"),
    ("logger_root", "anything", "1"),
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "configs").mkdir()
    return tmp_path


def findings_of(root: Path, content: object) -> list[str]:
    (root / "configs" / "inference.json").write_text(json.dumps(content))
    return audit_bundle(root)


@pytest.mark.parametrize("name", list_bundles())
def test_shipped_bundle_is_clean(name: str) -> None:
    assert audit_bundle(bundle_root(name)) == []


@pytest.mark.parametrize("target", HOSTILE_TARGETS)
def test_foreign_class_is_found(root: Path, target: object) -> None:
    found = findings_of(root, {"deep": [{"evaluator": {"_target_": target}}]})

    assert found and "`_target_` names the foreign class" in found[0]


@pytest.mark.parametrize("expression", HOSTILE_EXPRESSIONS)
def test_hostile_expression_is_found(root: Path, expression: str) -> None:
    found = findings_of(root, {"deep": [{"a": [expression]}]})

    assert len(found) == 1 and "the expression" in found[0]


@pytest.mark.parametrize("expression", HARMLESS_EXPRESSIONS)
def test_harmless_expression_passes(root: Path, expression: str) -> None:
    assert findings_of(root, {"run": [expression]}) == []


@pytest.mark.parametrize("key", ["reader", "writer", "merger_cls"])
@pytest.mark.parametrize("value", ["subprocess.Popen", "@name", "$'os' + '.system'", "%other", "a" * 2000 + "."])
def test_class_named_by_a_string_is_found(root: Path, key: str, value: str) -> None:
    content = {"name": "os.system", "load": {"_target_": "monai.transforms.LoadImaged", "keys": "image", key: [value]}}

    (found,) = findings_of(root, content)

    assert found.startswith((f"`configs/inference.json`: `{key}` must be plain, got {value!r}",) if len(value) < 80 else
                            f"`configs/inference.json`: `{key}` is too long")  # fmt: skip


def test_a_reader_that_unpickles_is_found(root: Path) -> None:
    assert findings_of(root, {"_target_": "monai.transforms.LoadImaged", "keys": "image", "reader": "NumpyReader"})


def test_a_loss_from_a_hub_is_found(root: Path) -> None:
    assert findings_of(root, {"perceptual": {"network_type": "radimagenet_resnet50"}})
    assert findings_of(root, {"perceptual": {"network_type": "resnet50", "pretrained_path": "w.pt"}}) == []


def test_kinds_and_sizes_are_checked_before_anything_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "read_regular", None)
    (root / "configs" / "inference.json").write_text("{}")
    os.mkfifo(root / "configs" / "train.json")
    for name in ("configs/logging.conf", "configs/evaluate.json", "models.pt"):
        (root / name).touch()
        os.truncate(root / name, 1 << 40)
    (root / "loop").symlink_to("loop")
    (root / "zeros").symlink_to("/dev/zero")

    assert sorted(audit_bundle(root)) == [
        "`configs/evaluate.json` must be at most 1048576 bytes",
        "`configs/logging.conf` must be at most 65536 bytes",
        "`configs/train.json` is no regular file",
        "`loop` leads nowhere",
        "`models.pt` must be at most 4294967296 bytes",
        "`zeros` leads out of the bundle",
    ]


def test_too_many_files_are_refused(root: Path) -> None:
    for at in range(2100):
        (root / f"{at}").touch()

    assert audit_bundle(root) == ["it holds more than 2000 files"]


def test_messages_cannot_steer_a_terminal(root: Path) -> None:
    (root / "a\x1b[2J\n.py").touch()
    assert audit_bundle(root) == [r"`a\x1b[2J\n.py` can hold code: a bundle of this project has none"]
    (root / "a\x1b[2J\n.py").unlink()
    (root / "configs" / "logging.conf").write_text("[a]\n\x1b[2J = 1\n")
    assert audit_bundle(root) == [r"`configs/logging.conf`: `\x1b[2j` is not expected"]
    assert all(line.isprintable() for line in findings_of(root, {"\x1b[2J": "$\x1b[2J", "b": {"_target_": "\x1b"}}))


def test_an_unchanged_bundle_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings_of(root, {"a": "$exit()"}) == audit_bundle(root)
    monkeypatch.setattr(audit, "read_regular", None)
    assert len(audit_bundle(root)) == 1
    monkeypatch.undo()

    assert findings_of(root, {"a": 1}) == []


def test_name_of_a_reader_passes(root: Path) -> None:
    assert findings_of(root, {"_target_": "monai.transforms.LoadImaged", "keys": "image", "reader": "ITKReader"}) == []


@pytest.mark.parametrize("mode", ["debug", "callable", "$'debug'"])
def test_mode_is_found(root: Path, mode: str) -> None:
    assert findings_of(root, {"_target_": "monai.data.Dataset", "_mode_": mode, "data": []})


def test_macro_is_found(root: Path) -> None:
    assert "pulls in the text" in findings_of(root, {"network_def": "%../../evil.yaml::network_def"})[0]


@pytest.mark.parametrize("size", ["().__class__", "9**9**9", "__import__('os')", "64; 64", "n(64)"])
def test_spatial_shape_that_is_code_is_found(root: Path, size: str) -> None:
    content = {"network_data_format": {"inputs": {"image": {"spatial_shape": [64, size]}}}}

    assert "`spatial_shape` must be plain" in findings_of(root, content)[0]


@pytest.mark.parametrize("size", ["*", "16*n", "2**p*n", "8 + 4*n"])
def test_spatial_shape_of_the_specification_passes(root: Path, size: str) -> None:
    assert findings_of(root, {"spatial_shape": [64, size]}) == []


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\xff", "x" * (1 << 20) + "x"])
def test_config_that_is_no_json_is_found(root: Path, text: str) -> None:
    (root / "configs" / "train.json").write_text(text, encoding="latin-1")

    assert len(audit_bundle(root)) == 1


@pytest.mark.parametrize("name", ["configs/inference.yaml", "configs/TRAIN.YML"])
def test_yaml_is_found(root: Path, name: str) -> None:
    (root / name).write_text("a: 1")

    assert "is not JSON" in audit_bundle(root)[0]


@pytest.mark.parametrize("name", ["scripts/net.py", "torch.pyc", "clearml.so", "models/extra.pkl", "samples/image.NPY"])
def test_file_that_can_hold_code_is_found(root: Path, name: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).touch()

    assert audit_bundle(root) == [f"`{name}` can hold code: a bundle of this project has none"]


def test_links_that_leave_the_bundle_are_found(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "model.pt").touch()
    (root / "weights.pt").symlink_to(outside / "model.pt")
    (root / "models").symlink_to(outside)

    assert audit_bundle(root) == ["`models` leads out of the bundle", "`weights.pt` leads out of the bundle"]


def test_link_to_a_folder_inside_cannot_hide_configs(root: Path) -> None:
    (root / "configs").rmdir()
    (root / "hidden").mkdir()
    (root / "hidden" / "inference.json").write_text('{"run": "$exit()"}')
    (root / "configs").symlink_to(root / "hidden")

    assert audit_bundle(root) == ["`configs` is a link to a folder"]


@pytest.mark.parametrize(("section", "option", "value"), HOSTILE_LOGGING)
def test_logging_that_is_evaluated_is_found(root: Path, section: str, option: str, value: str) -> None:
    text = (bundle_root("lung_cxr_segmentation") / "configs" / "logging.conf").read_text()
    head, tail = text.split(f"[{section}]\n")
    kept = [line for line in tail.splitlines() if not line.startswith(option)]
    (root / "configs" / "logging.conf").write_text(f"{head}[{section}]\n{option.upper()} : {value}\n" + "\n".join(kept))

    assert len(audit_bundle(root)) == 1


def test_logging_that_cannot_be_read_is_found(root: Path) -> None:
    (root / "configs" / "logging.conf").write_text("no section")

    assert "must be a logging configuration" in audit_bundle(root)[0]


def test_require_clean_names_the_first_finding_and_counts_the_rest(root: Path) -> None:
    findings_of(root, {"a": "$exit()", "b": {"_target_": "os.system"}, "c": "%d"})

    with pytest.raises(BundleError, match=r"must not be trusted: .*'exit'.*\(2 more findings\)"):
        require_clean(root)
