# SPDX-License-Identifier: Apache-2.0
"""Hostile bundles, data lists and snapshots, each made of a harmless one by one change.

Run as a program, it makes those of one group one after another, gives each to the commands that would read it, and
prints what must not have happened: a traceback, a connection, a program started, the canary file, more than 1 GB.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import shutil
import socket
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MAX_MIB = 1024
BAD_VALUES = (None, -1, 10**12, "x\x1b[2J" * 3, [], {}, [[]], 1e308, "$__import__('os').system('touch CANARY')", True)
Change = Callable[[Path], None]


def edited(name: str, change: Callable[[Any], Any]) -> Change:
    """Change one of the configs."""

    def apply(root: Path) -> None:
        path = root / "configs" / name
        content = json.loads(path.read_text())
        path.write_text(json.dumps(change(content) or content))

    return apply


def with_entry(name: str, entry: Any) -> Change:
    return edited(name, lambda content: content | {"extra": entry})


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from leaves(value, (*path, key))


def mutations(content: Any, values: tuple[Any, ...] = BAD_VALUES, *, every: int = 1) -> Iterator[tuple[str, Any]]:
    """Replace every entry by one wrong value or another, and leave every one out."""
    at = 0
    for path in list(leaves(content)):
        for value in (*values, "left out"):
            at += 1
            if at % every:
                continue
            changed = copy.deepcopy(content)
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            if value == "left out":
                del inner[path[-1]]
            else:
                inner[path[-1]] = value
            yield f"{'.'.join(map(str, path))} = {value!r}", changed


def written(name: str, content: bytes | str) -> Change:
    def apply(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    return apply


def sparse(name: str, size: int) -> Change:
    def apply(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
        os.truncate(root / name, size)

    return apply


def linked(name: str, target: str) -> Change:
    def apply(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.symlink_to(target)

    return apply


def pipe(name: str) -> Change:
    def apply(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        os.mkfifo(root / name)

    return apply


def bound(name: str) -> Change:
    def apply(root: Path) -> None:
        before = Path.cwd()
        os.chdir(root)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
        os.chdir(before)

    return apply


def crowded(root: Path) -> None:
    (root / "many").mkdir()
    for at in range(3000):
        (root / "many" / str(at)).touch()


def peak_mib() -> float:
    """Peak memory of this program; rusage would count what the process was before it became this program."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def deep(root: Path) -> None:
    before = Path.cwd()
    os.chdir(root)
    for _ in range(20):  # longer than any path may be
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)
    os.chdir(before)


def files() -> Iterator[tuple[str, Change]]:
    for name in ("metadata.json", "inference.json", "train.json", "train_encoder.json", "logging.conf"):
        config = f"configs/{name}"
        yield f"pipe {name}", pipe(config)
        yield f"zeros {name}", linked(config, "/dev/zero")
        yield f"loop {name}", linked(config, name)
        yield f"outside {name}", linked(config, "/etc/passwd")
        yield f"sparse {name}", sparse(config, 1 << 41)
        yield f"empty {name}", written(config, "")
        yield f"folder {name}", lambda root, config=config: [(root / config).unlink(), (root / config).mkdir()][:0]
    yield "socket", bound("s")
    yield "configs elsewhere", linked("configs", "/etc")
    yield "random", linked("models/model.pt", "/dev/random")
    yield "many files", crowded
    yield "deep folders", deep
    for name in ("x.py", "models/x.so", "x.pkl", "a\nb.sh", "\x1b[2J.npy", "configs/x.yaml", "\udcff.dll"):
        yield f"file {name!a}", written(name, b"")


def configs() -> Iterator[tuple[str, Change]]:
    touch = "touch CANARY"
    expressions = (
        f"$__import__('os').system('{touch}')", "$import os", "$exec('import os')", "$open('CANARY', 'w')",
        "$().__class__.__base__.__subclasses__()", "$@network_def.__init__.__globals__['torch'].hub.load('a/b', 'c')",
        "$torch.hub.load('x/y', 'z')", "$monai.bundle.download('x')", "$(lambda: 1)()", "$" + "(" * 5000,
        "$" + "+".join("1" * 100_000), "$9**9**9**9", "%/etc/passwd::x", "$'a' * 10**12", "$[0] * 10**11",
    )  # fmt: skip
    for at, text in enumerate(expressions):
        yield f"expression {at}", with_entry("inference.json", {"deep": [text]})
        yield (
            f"expression {at} in train.json",
            edited("train.json", lambda c, text=text: c | {"trainer": c["trainer"] | {"x": text}}),
        )
    targets = (
        "os.system", "subprocess.run", "builtins.exec", "monai.bundle.download", "torch.hub.load",
        "monai.transforms.Lambdad", "monai.data.PersistentDataset", "monai.handlers.MLFlowHandler",
        "ignite.handlers.WandBLogger", "monai_semigan.networks.checkpoint.torch.load", "monai.losses.PerceptualLoss",
        "runpy.run_path", "a" * 100_000,
    )  # fmt: skip
    for target in targets:
        yield f"target {target[:40]}", with_entry("inference.json", {"_target_": target, "command": touch})
    for network_type in ("radimagenet_resnet50", "medicalnet_resnet10_23datasets", "alex", "resnet50"):
        perceptual = {"network_type": network_type, "pretrained_path": "http://example.org/w.pth"}
        yield (
            f"perceptual {network_type}",
            edited("train_encoder.json", lambda c, p=perceptual: c | {"trainer": c["trainer"] | {"perceptual": p}}),
        )
    for name in ("metadata.json", "inference.json", "train.json"):
        for text in ("[" * 100_000, '{"a":' * 50_000, "nul", "\xff", '"x"', "[" + "[]," * 200_000 + "0]", "1" * 10_000):
            yield f"{name} {text[:5]}", written(f"configs/{name}", text.encode("latin-1"))
    for option in ("class=os.system", f"args=(__import__('os').system('{touch}'),)", "kwargs={}", "\x1b[2J=1"):
        text = f"[loggers]\nkeys=root\n[handlers]\nkeys=h\n[formatters]\nkeys=f\n[handler_h]\n{option}\n"
        yield f"logging {option[:6]!a}", written("configs/logging.conf", text)


def weights() -> Iterator[tuple[str, Change]]:
    import torch

    def saved(content: Any, **options: Any) -> bytes:
        stream = io.BytesIO()
        torch.save(content, stream, **options)
        return stream.getvalue()

    class Payload:
        def __reduce__(self):
            return os.system, ("touch CANARY",)

    def repacked(compression: int, extra: dict[str, bytes]) -> bytes:
        stream, out = io.BytesIO(saved({"a": torch.zeros(9)})), io.BytesIO()
        with zipfile.ZipFile(stream) as old, zipfile.ZipFile(out, "w", compression) as new:
            for entry in old.infolist():
                new.writestr(entry.filename, extra.pop(entry.filename, old.read(entry)))
            for name, content in extra.items():
                new.writestr(name, content)
        return out.getvalue()

    contents = {
        "code": saved({"a": Payload()}),
        "old code": saved({"a": Payload()}, _use_new_zipfile_serialization=False),
        "bomb": repacked(zipfile.ZIP_DEFLATED, {"archive/data/7": bytes(300 << 20)}),
        "long list": repacked(zipfile.ZIP_STORED, {"archive/data.pkl": b"\x80\x02" + b"N0" * (3 << 20) + b"N."}),
        "bytes": b"\x80\x02cbuiltins\nbytearray\n\x8a\x06\0\0\0\0\0\x01\x85R.",
        "memo": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "expanded": saved({"a": torch.zeros(1).expand(10**13)}),
        "complex": saved({"a": torch.zeros(1, dtype=torch.complex64)}),
        "meta": saved({"a": torch.zeros(10**9, device="meta")}),
        "integers": saved({"is_trained": torch.ones((), dtype=torch.int64)}),
        "list": saved([torch.zeros(1)]),
        "text": b"hello",
        "empty": b"",
        "cut": saved({"a": torch.zeros(1000)})[:1500],
        "tar": b"storages\0" + bytes(503) + bytes(10_000),
    }
    for name, content in contents.items():

        def apply(root: Path, content: bytes = content) -> None:
            from hashlib import sha256

            (root / "models" / "model.pt").write_bytes(content)
            edited("metadata.json", lambda c: c["semigan"]["weights"].update(sha256=sha256(content).hexdigest()))(root)

        yield name, apply
    yield "sparse weights", sparse("models/model.pt", 1 << 41)


def metadata() -> Iterator[tuple[str, Change]]:
    content = json.loads((Path(os.environ["HOSTILE_BUNDLE"]) / "configs" / "metadata.json").read_text())
    kept = {key: content[key] for key in ("version", "name", "semigan")}
    for name, changed in mutations(kept, every=11):
        yield name, edited("metadata.json", lambda _, changed=changed: changed)
    huge = {
        "image_size": 1024,
        "num_classes": 255,
        "channels": [4096] * 9,
        "encoder_channels": [4096] * 5,
        "z_dim": 4096,
    }
    yield "huge network", edited("metadata.json", lambda c: c["semigan"]["network"].update(huge))


def training() -> Iterator[tuple[str, Change]]:
    for name, every in (("train.json", 23), ("train_encoder.json", 17)):
        content = json.loads((Path(os.environ["HOSTILE_BUNDLE"]) / "configs" / name).read_text())
        content = {key: content[key] for key in ("network", "trainer") if key in content}
        for what, changed in mutations(content, every=every):
            yield f"{name} {what}", edited(name, lambda _, changed=changed: changed)


def data_lists() -> Iterator[tuple[str, Any]]:
    """Data lists, not bundles."""
    content = json.loads(Path(os.environ["HOSTILE_LIST"]).read_text())
    content = content | {"test": {"t": content["validation"]}, "volumes": {"validation": []}, "root": "."}
    content = {key: value[:1] if isinstance(value, list) else value for key, value in content.items()}
    for name, changed in mutations(content, every=5):
        yield name, json.dumps(changed)
    for text in ("[" * 100_000, "nul", "[]", '{"schema": "semigan-datalist-1", "test": NaN}', "\udcff"):
        yield text[:5], text


def snapshots() -> Iterator[tuple[str, Any]]:
    """Snapshots of a GAN's run, as objects to save."""
    import torch

    path = next(Path(os.environ["HOSTILE_RUN"]).glob("snapshot-*.pt"))
    content = torch.load(path, weights_only=True)
    shallow = [path for path in leaves(content) if len(path) <= 3 or path[-1] in ("state", "param_groups")]
    for at, place in enumerate(shallow):
        value = (None, -1, "x", [], {}, torch.zeros(2, 3), torch.zeros(2, dtype=torch.int64))[at % 7]
        changed = copy.deepcopy(content)
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        yield f"{'.'.join(map(str, place))} = {type(value).__name__}", changed


GROUPS = {"files": files, "configs": configs, "weights": weights, "metadata": metadata, "training": training}
OTHERS = {"data_lists": data_lists, "snapshots": snapshots}


def arguments_of(group: str, bundle: Path, datalist: Path, run: Path, out: Path) -> list[list[str]]:
    """Return the commands that read what the group changes."""
    data, image = ["--data", str(datalist), "--device", "cpu"], next(datalist.parent.glob("images/*.png"))
    start = ["-b", str(bundle)]
    short = ["--kimg", "0.004"]
    gan = ["train", "gan", str(out / "gan"), *start, *data, *short]
    encoder = ["train", "encoder", str(out / "encoder"), *start, *data, "--gan", str(run), *short]
    segment = ["segment", str(image), *start, "-o", str(out / "o"), "--steps", "0", "--device", "cpu"]
    tune = ["tune", *start, *data, "--steps", "0"]
    if group == "training":
        return [gan, encoder]
    if group == "data_lists":
        return [tune, ["train", "gan", str(out / "gan"), *start, *data, *short]]
    if group == "snapshots":
        return [[*gan[:2], str(run), *gan[3:], "--resume"], encoder]
    pack = ["pack", str(out / "p"), *start, "--weights", str(bundle / "models" / "model.pt")]
    generate = ["synthesize", *start, "-o", str(out / "s"), "-n", "1", "--device", "cpu"]
    return [segment, generate, tune, pack, *([gan, encoder] if group in ("files", "configs") else [])]


def call(arguments: list[str], *, must_succeed: bool = False) -> str:
    """Run a command; return what must not have happened, or nothing."""
    from monai_semigan.cli.main import main

    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            main(arguments)
    except SystemExit as stop:
        text = output.getvalue()
        if must_succeed and stop.code:
            return text
        steering = [letter for letter in text if not letter.isprintable() and letter not in "\n\r\t"]
        if "Traceback" in text or steering:
            return f"printed {steering or text}"
    except BaseException:
        return traceback.format_exc(limit=-3)
    return ""


def work(group: str, folder: Path) -> Iterator[str]:
    """Yield one line for everything that must not have happened."""
    bundle, datalist, run = (Path(os.environ[f"HOSTILE_{name}"]) for name in ("BUNDLE", "LIST", "RUN"))
    happened: list[str] = []
    first = ["-b", str(bundle), "--data", str(datalist), "--device", "cpu", "--kimg", "0.004"]
    wanted = [["train", "gan", str(run), *first]]  # imports everything, and shows that all is harmless unchanged
    if group != "snapshots":
        wanted += arguments_of(group, bundle, datalist, run, folder / "warm")
    for arguments in wanted:
        reason = call(arguments, must_succeed=True)
        if reason:
            yield f"the harmless one fails: {' '.join(arguments)}: {reason}"
    forbidden = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "os.system", "subprocess.Popen", "os.exec")
    sys.addaudithook(lambda event, _: happened.append(event) if event.startswith(forbidden) else None)
    count = 0
    for name, change in (GROUPS | OTHERS)[group]():
        count += 1
        case = folder / f"{count}"
        case.mkdir()
        mine, list_path, run_path = bundle, datalist, run
        if group in GROUPS:
            mine = case / "bundle"
            shutil.copytree(bundle, mine)
            change(mine)
        elif group == "data_lists":
            list_path = datalist.with_name("hostile.json")
            list_path.write_bytes(change.encode(errors="surrogateescape"))
        else:
            import torch

            run_path = case / "run"
            shutil.copytree(run, run_path)
            torch.save(change, next(run_path.glob("snapshot-*.pt")))
        for arguments in arguments_of(group, mine, list_path, run_path, case):
            started = time.perf_counter()
            reason = call(arguments)
            seconds = time.perf_counter() - started
            peak = peak_mib()
            slow = f"{seconds:.1f} s" if seconds > 20 else ""
            large = f"{peak:.0f} MiB" if peak > MAX_MIB else ""
            ran = "the canary" if (Path("CANARY").exists() or (case / "CANARY").exists()) else ""
            for reason_found in (reason, slow, large, ran, *happened):
                if reason_found:
                    yield f"{group}: {name[:100]!a}: {' '.join(arguments[:2])}: {reason_found}"
            happened.clear()
        shutil.rmtree(case, ignore_errors=True)
    yield f"count {count}"


if __name__ == "__main__":
    where = Path(sys.argv[2])
    os.chdir(where)
    for line in work(sys.argv[1], where):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
