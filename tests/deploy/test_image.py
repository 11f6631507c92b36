"""The recipes of the images: what a linter would say, and that they agree with each other and with the checkout."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from deploy_recipes import (
    DEPLOY,
    ROOT,
    Stage,
    ignore_patterns,
    is_ignored,
    json_words,
    pairs,
    read_definition,
    read_dockerfile,
    require_command,
)

import monai_semigan
from monai_semigan.bundles import list_bundles

ARGUMENTS, STAGES = read_dockerfile((DEPLOY / "Dockerfile").read_text())
FINAL = STAGES[-1]
BUILD = next(stage for stage in STAGES if stage.name == "build")
HEADER, SECTIONS = read_definition((DEPLOY / "apptainer.def").read_text())


def copies(stage: Stage) -> list[tuple[list[str], str]]:
    """What comes from the checkout, and where it goes."""
    found = []
    for text in stage.all("COPY"):
        *sources, target = text.split()
        if not sources[0].startswith("--from"):
            found.append((sources, target))
    return found


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    result = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip("not a git checkout")
    return result.stdout.splitlines()


def test_every_stage_begins_with_a_pinned_base_or_another_stage():
    known = {stage.name for stage in STAGES if stage.name}
    for stage in STAGES:
        base = ARGUMENTS["BASE"] if stage.base == "${BASE}" else stage.base
        assert base in known or re.fullmatch(r"[a-z0-9./-]+:\d[\w.-]*", base), base
    assert ARGUMENTS["BASE"] == "python:3.12-slim-bookworm"
    for text in (DEPLOY / "Dockerfile", DEPLOY / "apptainer.def"):
        assert "latest" not in text.read_text()


def test_nothing_comes_from_elsewhere_but_packages():
    for stage in STAGES:
        assert stage.all("ADD") == []
        for command in stage.all("RUN"):
            assert not re.search(r"curl|wget|git clone|sudo|chmod 777", command), command
            if "apt-get install" in command:
                assert "--no-install-recommends" in command and "rm -rf /var/lib/apt/lists" in command
            if "pip install" in command:
                assert "-c constraints.txt" in command and "--no-cache-dir" in command


def test_no_secret_is_baked_in():
    text = (DEPLOY / "Dockerfile").read_text() + (DEPLOY / "apptainer.def").read_text()
    assert not re.search(r"password|passwd|token|secret|api_?key|BEGIN .*PRIVATE", text, re.IGNORECASE)


def test_every_source_exists_and_is_not_ignored(tracked):
    patterns = ignore_patterns()
    for sources, _ in copies(BUILD):
        for source in sources:
            inside = [path for path in tracked if path == source or path.startswith(f"{source}/")]
            assert inside, source
            assert not any(is_ignored(path, patterns) for path in inside), source


def test_only_what_is_copied_is_sent_to_the_build(tracked):
    patterns = ignore_patterns()
    wanted = [source for sources, _ in copies(BUILD) for source in sources]
    sent = [path for path in tracked if not is_ignored(path, patterns)]
    assert all(any(path == source or path.startswith(f"{source}/") for source in wanted) for path in sent)
    for path in (
        ".git/config",
        "tests/conftest.py",
        "data/x.dcm",
        "out/report.html",
        "cli/__pycache__/main.pyc",
        ".env",
    ):
        assert is_ignored(path, patterns), path


def test_what_the_installation_reads_is_copied(tracked):
    """The package's parts, its readme, its licences."""
    project = (ROOT / "pyproject.toml").read_text()
    patterns = ignore_patterns()
    readme = re.search(r'^readme = "([^"]+)"', project, re.MULTILINE)[1]
    needed = ["pyproject.toml", "constraints.txt", readme, "LICENSE", "NOTICE", "cli/main.py"]
    needed += [f"bundles/{name}/models/model.pt" for name in list_bundles() if "face" not in name]
    for path in needed:
        assert path in tracked and not is_ignored(path, patterns), path


def test_the_last_stage_runs_semigan_as_a_user_that_is_not_root():
    (user,) = FINAL.all("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), "a number, which Kubernetes can check"
    after_user = [word for word, _ in FINAL.steps[[word for word, _ in FINAL.steps].index("USER") :]]
    assert not {"RUN", "COPY"} & set(after_user)
    (entry,), (default,) = FINAL.all("ENTRYPOINT"), FINAL.all("CMD")
    program, *words = json_words(entry)
    assert program == "/opt/semigan/bin/semigan"
    require_command(["semigan", *words, *json_words(default)])


def test_caches_and_temporary_files_go_to_one_folder():
    environment = pairs(" ".join(FINAL.all("ENV")))
    folders = {environment[name] for name in environment if name.endswith(("HOME", "DIR")) and name != "PATH"}
    assert folders and all(folder == "/tmp" or folder.startswith("/tmp/") for folder in folders)
    assert {"HOME", "TMPDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"} <= environment.keys()
    assert environment["LOGNAME"], "getpass asks for it where the number of the user has no name"
    assert environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_labels_say_the_version_and_the_licence():
    labels = pairs(" ".join(FINAL.all("LABEL")))
    project = (ROOT / "pyproject.toml").read_text()
    assert labels["org.opencontainers.image.version"] == monai_semigan.__version__
    assert f'license = "{labels["org.opencontainers.image.licenses"]}"' in project


def test_the_definition_of_apptainer_takes_the_same_steps():
    assert HEADER == {"Bootstrap": "docker", "From": "{{ BASE }}"}
    given = dict(line.split("=", 1) for line in SECTIONS["arguments"])
    built = dict(text.partition("=")[::2] for text in BUILD.all("ARG"))
    assert given == {"BASE": ARGUMENTS["BASE"], **built}

    steps = [line for line in SECTIONS["post"] if line not in ("set -eu", "cd /src", "rm -rf /src")]
    docker = [re.sub(r"\$\{(\w+)\}", r"{{ \1 }}", command) for command in BUILD.all("RUN")]
    assert steps == docker

    (folder,) = BUILD.all("WORKDIR")
    files = dict(line.split() for line in SECTIONS["files"])
    for sources, target in copies(BUILD):
        for source in sources:
            name = Path(source).name if target.endswith("/") else target
            expected = Path(folder, target, name) if target.endswith("/") else Path(folder, target)
            assert files.pop(source) == str(expected)
    assert files == {}


def test_apptainer_has_the_same_environment_labels_and_entry():
    exported = dict(line.removeprefix("export ").split("=", 1) for line in SECTIONS["environment"])
    assert exported == pairs(" ".join(FINAL.all("ENV")))
    labels = dict(line.split(" ", 1) for line in SECTIONS["labels"])
    docker = pairs(" ".join(FINAL.all("LABEL")))
    assert labels.items() <= docker.items() and labels["org.opencontainers.image.version"] == monai_semigan.__version__
    (entry,) = SECTIONS["runscript"]
    assert shlex.split(entry) == ["exec", *json_words(FINAL.all("ENTRYPOINT")[0]), "$@"]


def test_commands_that_build_and_test_the_image_exist():
    commands = [*BUILD.all("RUN"), *SECTIONS["post"], *SECTIONS["test"]]
    lines = [line for line in commands if re.match(r"/opt/semigan/bin/semigan\b", line)]
    assert len(lines) == 3
    for line in lines:
        require_command(shlex.split(line))


@pytest.mark.parametrize("text", ["FORM x:1", "RUN true", "FROM x:1\nInstall y"])
def test_a_dockerfile_with_a_slip_is_refused(text):
    with pytest.raises(ValueError, match=r"unknown instruction|before FROM"):
        read_dockerfile(text)


def test_ignore_patterns_are_read_as_docker_reads_them():
    patterns = ["*", "!cli", "!docs/index.md", "**/__pycache__", "**/*.pyc"]
    kept = ["cli", "cli/main.py", "cli/a/b.txt", "docs/index.md"]
    left = ["x", "docs", "docs/other.md", "cli/__pycache__", "cli/a/__pycache__/b.txt", "cli/x.pyc", "client"]
    assert [path for path in [*kept, *left] if not is_ignored(path, patterns)] == kept
