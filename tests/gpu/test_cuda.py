"""The same bodies on a CUDA device; skipped where there is none."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch

from monai_semigan.latent.inversion import Inversion, InversionSettings
from monai_semigan.losses.perceptual import FeatureDistance
from monai_semigan.networks.multiscale_discriminator import MultiscaleDiscriminator
from monai_semigan.networks.segmenter import SemiGanSegmenter
from monai_semigan.ops.affine_warp import affine_warp
from monai_semigan.ops.modulated_conv2d import modulated_conv2d
from monai_semigan.ops.upfirdn2d import upfirdn2d
from monai_semigan.segmentation.stack import SliceOutput, SlicewiseSettings, segment_stack
from monai_semigan.training.augment import AugmentSettings
from monai_semigan.training.encoder_step import EncoderSettings, EncoderStep
from monai_semigan.training.gan_step import GanNetworks, GanSettings, GanStep

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(autouse=True)
def exact_convolutions():
    """TensorFloat-32 rounds inputs to 10 bits: off, so that devices can be compared."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some versions of PyTorch warn of these names
        before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def test_ops_equal_the_cpu():
    x, weight, style = torch.randn(3, 4, 9, 10), torch.randn(5, 4, 3, 3), torch.randn(3, 4)
    taps, matrix = torch.tensor([0.125, 0.375, 0.375, 0.125]), torch.eye(2, 3).expand(3, 2, 3) * 0.9
    cases = [
        lambda d: upfirdn2d(x.to(d), taps.to(d), up=2, padding=(2, 1), gain=4.0),
        lambda d: upfirdn2d(x.to(d), taps.to(d), down=2, padding=(1, 1)),
        lambda d: modulated_conv2d(x.to(d), weight.to(d), style.to(d), up_taps=taps.to(d)),
        lambda d: affine_warp(x.to(d), matrix.to(d)),
    ]
    for case in cases:
        torch.testing.assert_close(case("cuda").cpu(), case("cpu"), rtol=1e-4, atol=1e-4)


def test_inversion_equals_the_cpu(tiny_network):
    images = (torch.rand(2, 1, 32, 32) * 2 - 1).numpy()

    class Images:
        def __len__(self):
            return len(images)

        def prepared(self, indices):
            return images[indices]

    def segmented(network):
        outputs: dict[int, SliceOutput] = {}
        distance = FeatureDistance(network.d_image.features)
        inversion = Inversion(network.generator, network.encoder, distance, InversionSettings(steps=5, patience=0))
        settings = SlicewiseSettings(batch_size=2)
        numbers = segment_stack(inversion, Images(), settings, receive=outputs.__setitem__, are_neighbors=False)
        return torch.tensor(numbers.traces), torch.from_numpy(np.stack([outputs[at].label_logits for at in (0, 1)]))

    trace, label_logits = segmented(tiny_network)

    trace_gpu, label_logits_gpu = segmented(copy.deepcopy(tiny_network).cuda())

    torch.testing.assert_close(trace_gpu, trace, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(label_logits_gpu, label_logits, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_both_training_steps_run(tiny_settings, dtype):
    network = SemiGanSegmenter(**tiny_settings).cuda()
    network.generator.synthesis.compute_dtype = network.d_image.compute_dtype = dtype
    networks = GanNetworks(
        network.generator,
        copy.deepcopy(network.generator),
        network.d_image,
        MultiscaleDiscriminator(num_scales=1, base_channels=4).cuda(),
    )
    step = GanStep(networks, GanSettings(), augment_image=AugmentSettings(), augment_pair=AugmentSettings())
    image, target = torch.rand(4, 1, 32, 32, device="cuda") * 2 - 1, torch.full((4, 2, 32, 32), 0.5, device="cuda")
    for at in range(2):
        stats = step(image, image, target, images_seen=4 * at)
        assert all(bool(value.isfinite()) and value.device.type == "cuda" for value in stats.values())
    encoder = EncoderStep(network, EncoderSettings())

    stats = encoder(image, image, target, images_seen=0, total_images=100)

    assert all(bool(value.isfinite()) for value in stats.values())
