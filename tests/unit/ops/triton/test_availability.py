"""Whether the kernels run on a device, and why not."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch

from monai_semigan.errors import BackendError
from monai_semigan.ops.backends.triton import availability
from monai_semigan.ops.backends.triton.availability import obstacle
from monai_semigan.ops.bias_act import bias_act

HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="Triton is not installed")
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_remembered():
    availability._obstacle.cache_clear()
    yield
    availability._obstacle.cache_clear()


def test_importing_the_ops_does_not_import_triton(tmp_path):
    code = (
        "import sys, monai_semigan.ops.backends.triton.bias_act, monai_semigan.ops.backends.triton.styled_epilogue\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'triton'])"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert result.stdout.strip() == "[]"


def test_a_missing_triton_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)

    assert "Triton is not installed" in str(obstacle(CPU))
    with pytest.raises(BackendError, match="cannot run `bias_act` on cpu in float32: Triton is not installed"):
        bias_act(torch.zeros(2, 3), None, backend="triton")


@needs_triton
def test_a_cpu_needs_the_interpreter(monkeypatch):
    monkeypatch.setattr(availability, "_is_interpreted", lambda: False)

    assert obstacle(CPU) == "it is a CPU, and Triton's interpreter is off"
    assert obstacle(torch.device("mps")) == "the kernels were made for NVIDIA devices alone"


@needs_triton
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_device_is_named():
    assert obstacle(torch.device("cuda")) == "there is no CUDA device"


@needs_triton
def test_an_old_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))

    assert obstacle(torch.device("cuda", 0)) == "the device has compute capability 7.5, not 8.0 or above"


@needs_triton
def test_what_fails_is_tried_once_and_reported(monkeypatch):
    tries = []

    def fail(device):
        tries.append(device)
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC.")

    monkeypatch.setattr(availability, "_device_obstacle", lambda device: None)
    monkeypatch.setattr(availability, "_try", fail)

    reasons = {obstacle(CPU) for _ in range(3)}

    assert reasons == {"a first kernel failed with RuntimeError: Please specify via CC."}
    assert tries == [CPU]


@needs_triton
def test_want_of_memory_is_not_remembered(monkeypatch):
    def fail(device):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(availability, "_device_obstacle", lambda device: None)
    monkeypatch.setattr(availability, "_try", fail)
    with pytest.raises(torch.OutOfMemoryError):
        obstacle(CPU)

    monkeypatch.setattr(availability, "_try", lambda device: None)

    assert obstacle(CPU) is None


@needs_triton
def test_a_kernel_that_computes_something_else_is_refused(monkeypatch):
    def wrong(x, *_):
        return x[:, :, :-1, :-1] * 1.001

    monkeypatch.setattr(availability, "_device_obstacle", lambda device: None)
    monkeypatch.setattr("monai_semigan.ops.backends.triton.styled_epilogue.styled_epilogue", wrong)

    assert "the result differs from the definition's by" in str(obstacle(CPU))
