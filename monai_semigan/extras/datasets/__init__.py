# SPDX-License-Identifier: Apache-2.0
"""Public data sets: each module knows one published folder layout and refuses what does not follow it.

A module has ``collect(source, *settings)``, which checks the download and returns a `collection.Collection`. Nothing is
written before everything is known to be there. This file lists the names and imports none of the modules.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DATASETS", "Dataset"]


@dataclass(frozen=True)
class Dataset:
    """A data set that can be prepared.

    Attributes:
        module: Module of this package.
        title: One line for a list of commands.
        settings: Further arguments of the module's ``collect``.
        has_organs: Whether ``collect`` takes ``organs``, ``liver`` or ``all``.
    """

    module: str
    title: str
    settings: tuple[str, ...] = ()
    has_organs: bool = False


DATASETS = {
    "jsrt": Dataset("jsrt", "Chest X-rays, JSRT, with the lung masks of SCR."),
    "montgomery": Dataset("montgomery", "Chest X-rays, Montgomery County (NLM), with lung masks."),
    "shenzhen": Dataset("shenzhen", "Chest X-rays, Shenzhen (NLM), with the lung masks of Stirenko et al."),
    "nih-chestxray14": Dataset("nih_chestxray14", "Chest X-rays, NIH ChestX-ray14, without masks."),
    "isic2016": Dataset("isic", "Dermoscopy, ISIC 2016 part 1.", ("2016",)),
    "isic2017": Dataset("isic", "Dermoscopy, ISIC 2017 part 1.", ("2017",)),
    "isic2018": Dataset("isic", "Dermoscopy, ISIC 2018 task 1.", ("2018",)),
    "ph2": Dataset("ph2", "Dermoscopy, PH2."),
    "dermis": Dataset("waterloo_skin", "Photographs of skin lesions, DermIS (Waterloo).", ("dermis",)),
    "dermquest": Dataset("waterloo_skin", "Photographs of skin lesions, DermQuest (Waterloo).", ("dermquest",)),
    "lits": Dataset("lits", "CT volumes of the liver, LiTS."),
    "chaos-ct": Dataset("chaos", "CT volumes of the liver, CHAOS.", ("ct",)),
    "chaos-t1-in": Dataset("chaos", "MR volumes of the abdomen, CHAOS, T1 in phase.", ("t1-in",), True),
    "chaos-t1-out": Dataset("chaos", "MR volumes of the abdomen, CHAOS, T1 out of phase.", ("t1-out",), True),
    "chaos-t2spir": Dataset("chaos", "MR volumes of the abdomen, CHAOS, T2-SPIR.", ("t2spir",), True),
    "celebamask-hq": Dataset("celebamask_hq", "Faces, CelebAMask-HQ, 19 parts merged into 6 classes."),
    "metfaces": Dataset("metfaces", "Faces in works of art, MetFaces, without masks."),
}
"""What ``semigan prepare`` knows, by name."""
