# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's ops from a checkout: equal to ours, loaded in isolation, refused with a reason.

The checkout is a stand-in; where ``SEMIGAN_STYLEGAN_OPS`` names a real one, the numbers are compared with that too.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from stylegan_checkout import write_checkout
from torch.autograd import gradcheck, gradgradcheck

from monai_semigan.errors import BackendError
from monai_semigan.ops.backends import stylegan
from monai_semigan.ops.backends.stylegan import Checkout, open_checkout
from monai_semigan.ops.bias_act import bias_act
from monai_semigan.ops.upfirdn2d import upfirdn2d

REAL = os.environ.get("SEMIGAN_STYLEGAN_OPS")
CUDA = torch.device("cuda")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(autouse=True)
def nothing_open(monkeypatch):
    monkeypatch.setattr(stylegan, "_opened", {})


@pytest.fixture(params=["StyleGAN2-ADA", "StyleGAN3", "real"])
def reference(request, tmp_path) -> Checkout:
    if request.param != "real":
        return Checkout(write_checkout(tmp_path, request.param), impl="ref")
    if not REAL:
        pytest.skip("SEMIGAN_STYLEGAN_OPS names no checkout")
    return Checkout(Path(REAL), impl="ref")


@pytest.mark.parametrize(
    ("up", "down", "taps", "padding"),
    [
        (1, 1, 4, (2, 1)),
        (2, 1, 4, (2, 1)),
        (1, 2, 4, (1, 1)),
        (3, 2, 5, (4, -1)),
        (2, 3, 3, (-2, 3)),
        (4, 1, 2, (5, 6)),
    ],
)
def test_resampling_equals_our_definition(reference, up, down, taps, padding):
    x, taps = draw(2, 3, 5, 7), draw(taps, seed=1).float() + 2  # asymmetric: a flip shows

    actual = reference.upfirdn2d(x, taps, up, down, padding, 1.5)

    expected = upfirdn2d(x, taps, up=up, down=down, padding=padding, gain=1.5, backend="reference")
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 3, 5)])
@pytest.mark.parametrize(("slope", "gain"), [(0.2, 2**0.5), (1.0, 1.0), (0.0, 0.5), (1.0, 3.0)])
@pytest.mark.parametrize("has_bias", [False, True])
def test_activation_equals_our_definition(reference, shape, slope, gain, has_bias):
    x, bias = draw(*shape), draw(4, seed=1) if has_bias else None

    actual = reference.bias_act(x, bias, slope, gain)

    torch.testing.assert_close(actual, bias_act(x, bias, slope=slope, gain=gain, backend="reference"))


def test_both_can_be_differentiated_twice(reference):
    x, bias, taps = draw(1, 2, 3, 4).requires_grad_(), draw(2, seed=1).requires_grad_(), torch.tensor([0.25, 0.75])

    def run(x, bias):
        return reference.bias_act(reference.upfirdn2d(x, taps, 2, 1, (1, 0), 4.0), bias, 0.2, 1.0).square()

    assert gradcheck(run, (x, bias))
    assert gradgradcheck(run, (x, bias))


def test_any_layout_and_another_dtype_of_the_bias_are_taken(reference):
    x = draw(2, 3, 8, 5).transpose(2, 3)[:, :, ::2].expand(2, 3, 3, 8)
    bias, taps = draw(3).float(), torch.tensor([0.25, 0.5, 0.25])

    torch.testing.assert_close(reference.bias_act(x, bias, 0.2, 1.0), bias_act(x, bias, gain=1.0))
    torch.testing.assert_close(reference.upfirdn2d(x, taps, 1, 1, (1, 1), 1.0), upfirdn2d(x, taps, padding=(1, 1)))


@pytest.mark.parametrize("version", ["StyleGAN2-ADA", "StyleGAN3"])
def test_the_version_is_told_and_nothing_stays_behind(tmp_path, version, monkeypatch):
    mine = ModuleType("dnnlib")
    monkeypatch.setitem(sys.modules, "dnnlib", mine)
    path, modules = list(sys.path), dict(sys.modules)

    checkout = Checkout(write_checkout(tmp_path, version, builds=True))
    assert checkout.obstacle(CUDA, torch.float32) is None

    assert checkout.version == version
    assert checkout.describe() == f"{version} in {tmp_path}, convolutions through its conv2d_gradfix"
    assert sys.path == path
    assert sys.modules == modules and sys.modules["dnnlib"] is mine


def test_two_checkouts_do_not_share_modules(tmp_path):
    first, second = (
        Checkout(write_checkout(tmp_path / name, name), impl="ref") for name in ("StyleGAN2-ADA", "StyleGAN3")
    )

    versions = [checkout._modules["upfirdn2d"].misc.VERSION for checkout in (first, second)]

    assert versions == ["StyleGAN2-ADA", "StyleGAN3"]


@pytest.mark.parametrize("version", ["StyleGAN2-ADA", "StyleGAN3"])
def test_a_failing_build_is_tried_once_and_says_why(tmp_path, version, capsys):
    checkout = Checkout(write_checkout(tmp_path, version))

    reasons = [checkout.obstacle(CUDA, torch.float32) for _ in range(2)]

    reason = f"the kernels of `upfirdn2d` in {tmp_path} could not be built: RuntimeError: Install the CUDA toolkit"
    expected = reason if version == "StyleGAN3" else reason.replace("RuntimeError: Install", "Install")
    assert reasons == [expected] * 2
    assert checkout._modules["upfirdn2d"].custom_ops.attempts == ["upfirdn2d_plugin"]
    assert capsys.readouterr() == ("", "")


def test_a_build_that_fails_without_a_word_is_a_failure(tmp_path):
    file = write_checkout(tmp_path, "StyleGAN3", builds=True) / "torch_utils" / "ops" / "bias_act.py"
    file.write_text(file.read_text().replace("return True", "return False"))

    reason = Checkout(tmp_path).obstacle(CUDA, torch.float32)

    assert reason == f"the kernels of `bias_act` in {tmp_path} could not be built: no reason was given"


def test_other_devices_and_dtypes_are_refused_without_a_build(tmp_path):
    checkout = Checkout(write_checkout(tmp_path, "StyleGAN3"))

    assert checkout.obstacle(torch.device("cpu"), torch.float32) == "NVIDIA's ops are for CUDA devices alone"
    assert checkout.obstacle(CUDA, torch.bfloat16) == "NVIDIA's ops are for float16, float32 and float64"
    assert checkout._modules["upfirdn2d"].custom_ops.attempts == []


def test_more_elements_than_they_can_count_are_refused(tmp_path):
    checkout = Checkout(write_checkout(tmp_path, "StyleGAN3"), impl="ref")
    x = torch.zeros(1).expand(2, 2**10, 2**10, 2**10)

    with pytest.raises(BackendError, match="at most 2147483647 elements per tensor, got 2147483648"):
        checkout.bias_act(x, None, 0.2, 1.0)
    with pytest.raises(BackendError, match="got 2147483648"):
        checkout.upfirdn2d(x, torch.ones(2), 1, 2, (0, 0), 1.0)
    with pytest.raises(BackendError, match="got 2147483648"):
        checkout.upfirdn2d(x[:, :256], torch.ones(2), 2, 1, (0, 0), 1.0)


def test_a_folder_without_ops_is_refused(tmp_path):
    with pytest.raises(BackendError, match=r"has no torch_utils/ops/upfirdn2d\.py\. Name the folder"):
        open_checkout(tmp_path)


def test_an_unknown_version_is_refused(tmp_path):
    file = write_checkout(tmp_path, "StyleGAN2-ADA") / "torch_utils" / "ops" / "conv2d_resample.py"
    file.unlink()

    with pytest.raises(BackendError, match=r"has neither conv2d_resample\.py nor filtered_lrelu\.py"):
        open_checkout(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("flip_filter=False, gain=1, impl", "gain=1, impl", r"lacks \['flip_filter'\]"),
        ("def setup_filter", "def other", "missing"),
    ],
)
def test_another_interface_is_refused(tmp_path, old, new, reason):
    file = write_checkout(tmp_path, "StyleGAN3") / "torch_utils" / "ops" / "upfirdn2d.py"
    file.write_text(file.read_text().replace(old, new))

    with pytest.raises(BackendError, match=reason):
        open_checkout(tmp_path)


def test_a_checkout_that_fails_to_import_says_why_and_is_not_tried_again(tmp_path):
    file = write_checkout(tmp_path, "StyleGAN3") / "dnnlib" / "__init__.py"
    text = file.read_text()
    file.write_text("import no_such_module")
    path = list(sys.path)

    with pytest.raises(BackendError, match="could not be imported: ModuleNotFoundError: No module named 'no_such"):
        open_checkout(tmp_path)
    file.write_text(text)
    with pytest.raises(BackendError, match="could not be imported"):
        open_checkout(tmp_path)

    assert sys.path == path
    assert not [name for name in sys.modules if name.startswith(("torch_utils", "dnnlib"))]


def test_an_open_checkout_stays_open(tmp_path):
    checkout = open_checkout(write_checkout(tmp_path, "StyleGAN3"))
    shutil.rmtree(tmp_path / "torch_utils")

    assert open_checkout(tmp_path / "." / "torch_utils" / "..") is checkout
