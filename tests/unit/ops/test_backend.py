# SPDX-License-Identifier: Apache-2.0
"""The choice of a backend: what `auto` takes, that a name stays, and what is said where it cannot run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stylegan_checkout import write_checkout

from monai_semigan.errors import BackendError
from monai_semigan.ops import backend as backend_module
from monai_semigan.ops.backend import (
    backend_obstacle,
    describe_backends,
    resolve_backend,
    set_backend,
    use_backend,
)
from monai_semigan.ops.backends import reference, stylegan
from monai_semigan.ops.backends.stylegan import Checkout
from monai_semigan.ops.backends.triton import availability
from monai_semigan.ops.bias_act import bias_act
from monai_semigan.ops.fir import normalized_taps
from monai_semigan.ops.modulated_conv2d import modulated_conv2d, styled_conv2d
from monai_semigan.ops.styled_epilogue import styled_epilogue
from monai_semigan.ops.upfirdn2d import upfirdn2d

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
X = torch.zeros(1, 2, 3, 3)


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch):
    monkeypatch.setattr(backend_module, "_process", backend_module._Process())
    monkeypatch.setattr(stylegan, "_opened", {})


class OnCuda:
    """What the choice asks a tensor for, of one that lies on a CUDA device."""

    device, is_cuda = CUDA, True

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype

    def numel(self) -> int:
        return 1


def stand_in(monkeypatch, obstacle: str | None) -> list[str]:
    """Put the definitions in the place of Triton's kernels, and return the list of what they were called for."""
    called: list[str] = []

    def remember(name):
        def run(*args):
            called.append(name)
            return getattr(reference, name)(*args)

        return run

    kernels = {name: remember(name) for name in ("bias_act", "styled_epilogue", "upfirdn2d")}
    monkeypatch.setattr(availability, "obstacle", lambda _: obstacle)
    triton = replace(backend_module._find("triton"), kernels={**backend_module._find("triton").kernels, **kernels})
    monkeypatch.setitem(backend_module._registered, "triton", triton)
    return called


@pytest.fixture
def reference_checkout(monkeypatch, tmp_path) -> Path:
    """A checkout that computes on a CPU, with its own definitions."""
    folder = write_checkout(tmp_path, "StyleGAN3").resolve()
    monkeypatch.setitem(stylegan._opened, folder, Checkout(folder, impl="ref"))
    return folder


def test_auto_is_torch_on_a_cpu_even_where_kernels_could_run(monkeypatch):
    stand_in(monkeypatch, None)

    assert resolve_backend("bias_act", X) == "torch"


@pytest.mark.parametrize("name", ["reference", "torch"])
def test_a_name_stays(name):
    assert resolve_backend("bias_act", X, name) == name


def test_auto_takes_triton_on_cuda_if_it_runs_there(monkeypatch):
    stand_in(monkeypatch, None)
    assert resolve_backend("bias_act", OnCuda()) == "triton"
    assert resolve_backend("bias_act", OnCuda(torch.float8_e5m2)) == "torch"

    stand_in(monkeypatch, "no module named triton")
    assert resolve_backend("bias_act", OnCuda()) == "torch"


def test_exported_programs_hold_no_kernels(monkeypatch):
    stand_in(monkeypatch, None)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)

    assert resolve_backend("bias_act", OnCuda()) == "torch"


def test_a_named_backend_that_cannot_run_says_why(monkeypatch):
    stand_in(monkeypatch, "triton is not installed")
    reason = "backend='triton' cannot run `bias_act` on cpu in float32: triton is not installed. Choose 'auto' or"

    with pytest.raises(BackendError, match=reason):
        bias_act(X, None, backend="triton")
    with pytest.raises(
        BackendError, match="in float8_e5m2: its kernels are for float16, bfloat16, float32 and float64"
    ):
        bias_act(X.to(torch.float8_e5m2), None, backend="triton")


def test_without_a_checkout_stylegan_says_how_to_name_one():
    with pytest.raises(BackendError, match=r"cannot run `upfirdn2d` on cpu in float32: no checkout .* --stylegan-ops"):
        upfirdn2d(X, torch.ones(1), backend="stylegan")
    with pytest.raises(BackendError, match="no checkout"):
        set_backend("stylegan")


def test_stylegan_on_a_cpu_is_refused(tmp_path):
    with (
        use_backend("stylegan", checkout=write_checkout(tmp_path, "StyleGAN2-ADA")),
        pytest.raises(BackendError, match="on cpu in float32: NVIDIA's ops are for CUDA devices alone"),
    ):
        styled_epilogue(X)


def test_an_unknown_backend_names_the_known_ones():
    names = "auto, reference, torch, triton, stylegan"
    for call in (
        lambda: resolve_backend("bias_act", X, "fast"),
        lambda: backend_obstacle("fast", CPU),
        lambda: set_backend("fast"),
    ):
        with pytest.raises(BackendError, match=f"`backend` must be one of {names}, got 'fast'"):
            call()


def test_the_choice_for_the_process_holds_for_calls_without_a_name(monkeypatch):
    called = stand_in(monkeypatch, None)

    with use_backend("triton"):
        bias_act(X, None)
        assert called == ["bias_act"]
        with use_backend("reference"):
            assert resolve_backend("bias_act", X) == "reference"
        bias_act(X, None, backend="torch")
        assert called == ["bias_act"]
        assert resolve_backend("bias_act", X) == "triton"
    assert resolve_backend("bias_act", X) == "torch"


def test_the_choice_ends_with_the_block_even_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), use_backend("reference"):
        1 / 0  # noqa: B018
    with pytest.raises(BackendError, match="Name the folder"), use_backend("stylegan", checkout=tmp_path):
        pass

    assert resolve_backend("bias_act", X) == "torch"


def test_a_checkout_may_be_named_without_being_chosen(reference_checkout):
    set_backend("auto", checkout=reference_checkout)

    assert resolve_backend("bias_act", X) == "torch"
    assert resolve_backend("bias_act", X, "stylegan") == "stylegan"
    set_backend("stylegan")  # the checkout that was named before
    assert resolve_backend("bias_act", X) == "stylegan"


def layers(**backend):
    """Return every op's result on the same operands."""
    rng = torch.Generator().manual_seed(0)
    x, weight, style = (torch.randn(s, generator=rng) for s in ((2, 3, 4, 5), (6, 3, 3, 3), (2, 3)))
    noise, bias, taps = torch.randn(2, 1, 8, 10, generator=rng), torch.randn(6, generator=rng), normalized_taps()
    return {
        "styled": styled_conv2d(x, weight, style, noise=noise, bias=bias, up_taps=taps, **backend),
        "modulated": modulated_conv2d(x, weight, style, **backend),
        "resampled": upfirdn2d(x, taps, down=2, padding=(1, 1), **backend),
        "activated": bias_act(x, bias[:3], **backend),
    }


@pytest.mark.parametrize("chosen", ["call", "process"])
def test_every_op_goes_through_triton(monkeypatch, chosen):
    called = stand_in(monkeypatch, None)

    if chosen == "call":
        actual = layers(backend="triton")
    else:
        with use_backend("triton"):
            actual = layers()

    assert called == ["styled_epilogue", "styled_epilogue", "upfirdn2d", "bias_act"]
    torch.testing.assert_close(actual, layers(backend="reference"), rtol=1e-4, atol=1e-5)


def test_every_op_goes_through_the_checkout(reference_checkout):
    with use_backend("stylegan", checkout=reference_checkout):
        actual = layers()

    modules = stylegan.open_checkout(reference_checkout)._modules
    assert modules["upfirdn2d"].calls == ["ref"] * 2
    assert modules["bias_act"].calls == ["ref"] * 2
    assert modules["conv2d_gradfix"].calls == ["conv_transpose2d", "conv2d"]
    torch.testing.assert_close(actual, layers(backend="reference"), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["reference", "torch", "triton", "stylegan"])
def test_an_empty_batch_is_empty_in_every_backend(monkeypatch, reference_checkout, name):
    stand_in(monkeypatch, None)
    set_backend(name, checkout=reference_checkout)
    x = torch.zeros(0, 3, 4, 5, requires_grad=True)

    y = styled_conv2d(
        x,
        torch.ones(6, 3, 3, 3),
        torch.ones(0, 3),
        noise=torch.ones(1, 1, 8, 10),
        bias=torch.ones(6),
        up_taps=normalized_taps(),
    )
    y.sum().backward()

    assert y.shape == (0, 6, 8, 10) and x.grad.shape == x.shape
    assert upfirdn2d(x, normalized_taps(), down=2, padding=(1, 1)).shape == (0, 3, 2, 2)
    assert bias_act(x, torch.ones(3)).shape == x.shape


def test_an_empty_batch_does_not_excuse_a_backend_that_cannot_run():
    with pytest.raises(BackendError, match="cannot run `bias_act`"):
        bias_act(X[:0], None, backend="stylegan")


def test_every_backend_says_where_it_runs(monkeypatch):
    stand_in(monkeypatch, "triton is not installed")

    texts = describe_backends([CPU, CUDA])

    assert list(texts) == ["auto", "reference", "torch", "triton", "stylegan"]
    assert texts["auto"] == "cpu: torch; cuda: torch"
    assert texts["torch"] == texts["reference"] == "cpu: runs; cuda: runs"
    assert texts["triton"] == "; ".join(f"{name}: does not run: triton is not installed" for name in ("cpu", "cuda"))
    assert texts["stylegan"].startswith("cpu: does not run: no checkout of StyleGAN2-ADA-PyTorch or StyleGAN3 is named")


def test_the_description_tells_of_triton_and_of_a_checkout(monkeypatch, tmp_path):
    stand_in(monkeypatch, None)
    folder = write_checkout(tmp_path, "StyleGAN3", builds=True)

    with use_backend("auto", checkout=folder):
        texts = describe_backends([CPU, CUDA])
        with use_backend("stylegan"):
            assert describe_backends([CPU])["auto"] == "cpu: stylegan, as chosen for this process"

    assert texts["auto"] == "cpu: torch; cuda: triton"
    assert texts["stylegan"] == (
        f"cpu: does not run: NVIDIA's ops are for CUDA devices alone; cuda: runs "
        f"(StyleGAN3 in {folder}, convolutions through its conv2d_gradfix)"
    )


def test_without_devices_the_description_is_of_this_computer():
    assert ("cuda: " in describe_backends()["torch"]) is torch.cuda.is_available()
