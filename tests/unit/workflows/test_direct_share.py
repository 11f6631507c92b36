# SPDX-License-Identifier: Apache-2.0
"""The weight of the direct route is chosen on validation images, and stored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from monai_semigan.bundle.bundle import load_network, open_bundle
from monai_semigan.io.datalist import load_datalist
from monai_semigan.training.pool_scores import mean_dice
from monai_semigan.workflows import direct_share, tuning
from monai_semigan.workflows.direct_share import SHARES, best_share, share_scores, store_share
from monai_semigan.workflows.training_data import labelled_pool, training_preset
from monai_semigan.workflows.trust_learning import learn_trust
from monai_semigan.workflows.tuning import tune

CPU = torch.device("cpu")


def opened_and_loaded(root: Path):
    bundle = open_bundle(root)
    return bundle, load_network(bundle, device=CPU)


class Threshold(nn.Module):
    """Lungs are dark."""

    def forward(self, image):
        dark = (-0.1 - image) * 50
        return torch.cat([-dark, dark], dim=1)


@pytest.mark.parametrize("is_right", [True, False])
def test_the_better_route_gets_the_weight(tiny_bundle, datalist, is_right) -> None:
    bundle, network = opened_and_loaded(tiny_bundle)
    data = load_datalist(datalist)
    network.encoder.direct = Threshold() if is_right else network.encoder.direct
    if not is_right:  # the direct route says lung everywhere, the generator nowhere
        network.encoder.direct.forward = lambda image: torch.tensor([-90.0, 90.0])[:, None, None].expand(
            len(image), 2, *image.shape[2:]
        )

    scores = share_scores(bundle, network, data)

    assert list(scores) == list(SHARES)
    assert best_share(scores) > 0 if is_right else best_share(scores) == 0


def test_the_scores_are_the_encoders_dice(tiny_bundle, datalist, monkeypatch) -> None:
    """Without disturbances a score is what the network itself has at this weight."""
    bundle, network = opened_and_loaded(tiny_bundle)
    data = load_datalist(datalist)
    monkeypatch.setattr(
        "monai_semigan.workflows.direct_share.disturbed",
        lambda image, target: iter([("as they are", image, target), ("again", image, target)]),
    )

    scores = share_scores(bundle, network, data)

    pool = labelled_pool(data, data.validation, training_preset(bundle), 2)
    for share in SHARES:
        network.encoder.direct_share = share
        wanted = float(mean_dice(network(pool.images.float()), pool.targets.float()).mean())
        assert scores[share] == pytest.approx(wanted, abs=1e-6)


def test_the_least_of_equal_weights_is_taken() -> None:
    assert best_share({0.5: 0.9, 0.25: 0.9, 0.0: 0.8}) == 0.25


def test_a_network_without_such_a_route_has_no_scores(tiny_bundle, datalist, edit_bundle, tiny_settings) -> None:
    bundle, network = opened_and_loaded(tiny_bundle)
    network.encoder.direct = None

    assert share_scores(bundle, network, load_datalist(datalist)) == {}


def test_tune_stores_it_and_goes_on_with_it(tiny_bundle, datalist, monkeypatch) -> None:
    monkeypatch.setattr(direct_share, "share_scores", lambda *_: {0.25: 0.5, 0.75: 0.6})
    seen = []
    segmented = tuning._segmented
    monkeypatch.setattr(
        tuning,
        "_segmented",
        lambda segmenter, entries, **options: (
            seen.append(segmenter.network.encoder.direct_share),
            segmented(segmenter, entries, **options),
        )[1],
    )

    kept = tune(tiny_bundle, datalist, steps=[0])
    assert open_bundle(tiny_bundle).network.direct_share == 0.25
    stored = tune(tiny_bundle, datalist, steps=[0], write=True)

    assert kept.direct_share == stored.direct_share == 0.75 and set(seen) == {0.75}
    assert opened_and_loaded(tiny_bundle)[1].encoder.direct_share == 0.75


def test_learning_without_steps_chooses_it_too(tiny_bundle, datalist, monkeypatch) -> None:
    monkeypatch.setattr(direct_share, "share_scores", lambda *_: {0.25: 0.5, 0.75: 0.6})

    assert learn_trust(tiny_bundle, datalist).direct_share == 0.75
    assert open_bundle(tiny_bundle).network.direct_share == 0.25
    learn_trust(tiny_bundle, datalist, write=True)
    assert open_bundle(tiny_bundle).network.direct_share == 0.75


def test_a_stored_weight_is_the_networks(tiny_bundle) -> None:
    store_share(tiny_bundle, 0.5)

    bundle, network = opened_and_loaded(tiny_bundle)

    assert bundle.network.direct_share == network.encoder.direct_share == 0.5
