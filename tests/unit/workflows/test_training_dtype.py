# SPDX-License-Identifier: Apache-2.0
"""bfloat16 asked for in training: taken with hardware for it, else float32, as the log says."""

from __future__ import annotations

import pytest
import torch

from monai_semigan.workflows import train as train_module
from monai_semigan.workflows.train import gan_trainer


@pytest.mark.parametrize(
    ("answer", "remarks"),
    [((torch.bfloat16, None), 0), ((torch.float32, "the processor does not report amx_bf16"), 1)],
)
def test_bfloat16_needs_hardware(tmp_path, datalist, tiny_bundle, monkeypatch, caplog, answer, remarks):
    monkeypatch.setattr(train_module, "resolve_compute_dtype", lambda name, device: answer)

    with caplog.at_level("INFO", logger="monai_semigan"):
        trainer = gan_trainer(
            bundle_root=tiny_bundle,
            datalist=datalist,
            run_dir=tmp_path / "run",
            d_pair={"num_scales": 1, "base_channels": 4},
            device="cpu",
            bfloat16=True,
        )

    networks = trainer.task.step.networks
    assert networks.generator.synthesis.compute_dtype == networks.d_image.compute_dtype == answer[0]
    assert all(parameter.dtype == torch.float32 for parameter in networks.generator.parameters())
    assert len(caplog.records) == remarks
    assert all("the training computes in float32" in record.message for record in caplog.records)
    assert all(record.levelname == "INFO" for record in caplog.records)
