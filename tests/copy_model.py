"""A network that copies: what it is shown is what it draws, so geometry can be tested to the voxel."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import Tensor, nn

from monai_semigan.networks.embedding import Embedding


class CopyEncoder(nn.Module):
    image_channels = 1

    def forward(self, image: Tensor) -> Embedding:
        return Embedding(image.flatten(1)[:, None])


class CopySynthesis(nn.Module):
    """The style is the image; foreground is what is above zero."""

    num_classes = 2

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def image(self, embedding: Embedding) -> Tensor:
        return embedding.w_plus.reshape(-1, 1, self.size, self.size)

    def forward(self, embedding: Embedding) -> tuple[Tensor, Tensor]:
        image = self.image(embedding)
        return image, torch.cat([-image, image], dim=1)


class CopyGenerator(nn.Module):
    num_layers = 1

    def __init__(self, size: int) -> None:
        super().__init__()
        self.image_size = size
        self.synthesis = CopySynthesis(size)
        self.mapping = SimpleNamespace(latent_avg=torch.zeros(size * size), w_dim=size * size)


class CopyNetwork(nn.Module):
    """What it is shown is what it draws, and foreground is what is above zero."""

    device = torch.device("cpu")

    def __init__(self, size: int) -> None:
        super().__init__()
        self.generator, self.encoder = CopyGenerator(size), CopyEncoder()
        self.d_image = SimpleNamespace(features=lambda image: [image])

    def require_trained(self) -> None: ...
