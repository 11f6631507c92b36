"""What XNAT and mercure are given: right by their schemas, and command lines and settings that we take."""

from __future__ import annotations

import copy
import json
import re
import shlex
from typing import Any

import jsonschema
import pytest
from deploy_recipes import DEPLOY, require_command

import monai_semigan
from monai_semigan.bundles import list_bundles
from monai_semigan.cli.module import VARIABLES
from monai_semigan.pacs.module_settings import ModuleRequest, TaskSettings
from monai_semigan.settings import read_settings

COMMAND = json.loads((DEPLOY / "xnat" / "command.json").read_text())
SCHEMA = json.loads((DEPLOY / "xnat" / "command.schema.json").read_text())
MERCURE = json.loads((DEPLOY / "mercure" / "module.json").read_text())

MERCURE_MODULE = {
    "docker_tag", "additional_volumes", "environment", "docker_arguments", "settings", "contact", "comment",
    "constraints", "resources", "requires_root",
}  # fmt: skip
MERCURE_DOCKER = {"runtime", "mem_limit", "cpu_quota", "pids_limit", "read_only"}
"""Arguments that a mercure takes which forbids unsafe ones."""


def faults(command: dict[str, Any]) -> list[str]:
    """What the container service refuses beyond the schema: names that are not unique, or lead nowhere."""
    found = []

    def unique(kind: str, entries: list[dict[str, Any]]) -> set[str]:
        names = [entry["name"] for entry in entries]
        found.extend(f"{kind} {name} twice" for name in set(names) if names.count(name) > 1)
        return set(names)

    mounts, inputs = unique("mount", command["mounts"]), unique("input", command["inputs"])
    outputs = unique("output", command["outputs"])
    found += [f"output without mount {entry['mount']}" for entry in command["outputs"] if entry["mount"] not in mounts]
    unique("wrapper", command["xnat"])
    for wrapper in command["xnat"]:
        entries = [*wrapper["external-inputs"], *wrapper["derived-inputs"]]
        names = unique("wrapper input", entries)
        for entry in entries:
            found += [
                f"files for {mount}"
                for mount in [entry.get("provides-files-for-command-mount")]
                if mount and mount not in mounts
            ]
            found += [
                f"value for {name}"
                for name in [entry.get("provides-value-for-command-input")]
                if name and name not in inputs
            ]
            found += [
                f"derived from {name}"
                for name in [entry.get("derived-from-wrapper-input")]
                if name and name not in names - {entry["name"]}
            ]
        handlers = wrapper["output-handlers"]
        unique("handler", handlers)
        found += [f"child of {entry['as-a-child-of']}" for entry in handlers if entry["as-a-child-of"] not in names]
        if {entry["accepts-command-output"] for entry in handlers} != outputs:
            found.append("an output that is not handled, or not there")
    return found


def resolved(command: dict[str, Any], **values: str) -> list[str]:
    """Fill the command line in as the container service does."""
    line = command["command-line"]
    for entry in command["inputs"]:
        value = values.get(entry["name"], entry.get("default-value", ""))
        flag = entry.get("command-line-flag")
        text = f"{flag}{entry.get('command-line-separator', ' ')}{value}" if flag and value else value
        line = line.replace(entry.get("replacement-key", f"#{entry['name']}#"), text)
    return shlex.split(line)


def test_the_command_of_xnat_fits_its_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(COMMAND, SCHEMA)
    assert faults(COMMAND) == []
    assert COMMAND["version"] == monai_semigan.__version__
    assert COMMAND["image"] == f"semigan:{monai_semigan.__version__}-cpu"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("mounts", 0, "path"), "input"),
        (("image",), "semigan"),
        (("type",), "podman"),
        (("inputs", 0, "default-value"), 3),
        (("xnat", 0, "external-inputs", 0, "type"), "Series"),
        (("xnat", 0, "output-handlers", 0, "as-a-child-of"), ""),
        (("entrypoint",), "x"),
    ],
)
def test_the_schema_finds_faults(path, value):
    changed = copy.deepcopy(COMMAND)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(changed, SCHEMA)


def test_names_that_lead_nowhere_are_found():
    for path, value in (
        (("outputs", 0, "mount"), "x"),
        (("xnat", 0, "derived-inputs", 0, "derived-from-wrapper-input"), "scan-dicom"),
        (("xnat", 0, "derived-inputs", 0, "provides-files-for-command-mount"), "x"),
        (("xnat", 1, "output-handlers", 0, "as-a-child-of"), "scan"),
        (("xnat", 1, "output-handlers", 0, "accepts-command-output"), "x"),
        (("xnat", 1, "name"), COMMAND["xnat"][0]["name"]),
    ):
        changed = copy.deepcopy(COMMAND)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        assert faults(changed), path


def test_xnat_runs_a_command_that_exists_on_the_folders_that_it_mounts():
    plain, chosen = resolved(COMMAND), resolved(COMMAND, steps="3", bundle="lung_cxr_segmentation")
    for words in (plain, chosen):
        require_command(words)
        paths = {mount["path"]: mount["writable"] for mount in COMMAND["mounts"]}
        assert not paths[words[words.index("--input") + 1]] and paths[words[words.index("--output") + 1]]
    assert "--steps" not in plain and chosen[chosen.index("--steps") + 1] == "3"
    assert plain[plain.index("--bundle") + 1] in list_bundles()
    assert COMMAND["override-entrypoint"] and plain[0] == "semigan"


def test_a_module_of_mercure_has_its_fields_and_our_settings():
    for name, module in MERCURE["modules"].items():
        assert module.keys() <= MERCURE_MODULE and not module["requires_root"]
        assert module["docker_tag"] == f"semigan:{monai_semigan.__version__}-cpu"
        arguments, environment = json.loads(module["docker_arguments"]), json.loads(module["environment"])
        assert arguments.keys() <= MERCURE_DOCKER and arguments["read_only"] is True
        assert environment["SEMIGAN_BUNDLE"] in list_bundles()
        rules = [rule for rule in MERCURE["rules"].values() if rule["processing_module"] == name]
        assert rules
        for rule in rules:  # mercure puts both into the task
            settings = read_settings(TaskSettings, module["settings"] | rule["processing_settings"], "task.json")
            assert settings.over(ModuleRequest()).dicom_formats() == ("dicom-seg",)
            assert rule["action"] in ("both", "process") and rule["action_trigger"] in ("series", "study")


def test_the_image_is_no_application_package_that_mercure_would_run_as_root():
    """mercure runs an image with ``/etc/monai/app.json`` as root, with that file's command."""
    assert "app.json" not in (DEPLOY / "Dockerfile").read_text()


def test_the_variables_are_those_of_the_platforms():
    names = {name for _, *pair in VARIABLES for name in pair}
    assert names == {
        "MERCURE_IN_DIR",
        "MERCURE_OUT_DIR",
        "MONAI_INPUTPATH",
        "MONAI_OUTPUTPATH",
        "HOLOSCAN_INPUT_PATH",
        "HOLOSCAN_OUTPUT_PATH",
    }
    assert all(re.fullmatch("[A-Z_]+", name) for name in names)
