# SPDX-License-Identifier: Apache-2.0
"""What lies where in the drawn abdomen, and how bright it is in CT and in MR.

Millimetres to the patient's right, anterior and superior of a point in the middle of the trunk at the height of the
pancreas. Sizes, places, fat and contrast vary from seed to seed as they do between adults. No plane mirrors the body or
any labelled organ onto itself: a flipped axis shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_semigan.extras.phantoms.shapes import (
    Capsule,
    Common,
    Cylinder,
    Ellipsoid,
    HalfSpace,
    Point,
    Shape,
    Slabs,
    Trunk,
    Union,
    Without,
)

__all__ = ["LABELS", "Anatomy", "Layer", "Tissue", "draw_anatomy"]

LABELS = {"background": 0, "liver": 1, "spleen": 2, "right_kidney": 3, "left_kidney": 4}
"""Class ids of the label volume."""


@dataclass(frozen=True)
class Tissue:
    """Brightness: HU in CT (portal venous phase), arbitrary units in MR (T2-weighted, fat suppressed)."""

    hu: float
    mr: float


TISSUES = {
    "skin": Tissue(-10, 70),
    "fat": Tissue(-105, 75),
    "visceral_fat": Tissue(-100, 55),
    "muscle": Tissue(58, 115),
    "lung": Tissue(-850, 25),
    "gas": Tissue(-960, 8),
    "cortical_bone": Tissue(430, 30),
    "marrow": Tissue(190, 170),
    "disc": Tissue(90, 260),
    "fluid": Tissue(12, 830),
    "blood": Tissue(165, 470),
    "heart": Tissue(140, 260),
    "liver": Tissue(108, 270),
    "spleen": Tissue(122, 560),
    "cortex": Tissue(195, 640),
    "medulla": Tissue(150, 740),
    "pancreas": Tissue(92, 350),
    "stomach": Tissue(32, 520),
    "wall": Tissue(75, 300),
    "bowel": Tissue(42, 470),
    "table": Tissue(220, 0),
    "foam": Tissue(-930, 0),
}
"""CT: usual textbook values. MR: read off the T2-SPIR volumes of CHAOS (Kavur et al. 2021), brightest about 850."""


@dataclass(frozen=True)
class Layer:
    """One solid; later ones cover earlier ones.

    Attributes:
        shape: Where.
        tissue: How bright.
        label: Class id to set; None leaves the label that is there, as vessels of the liver do.
    """

    shape: Shape
    tissue: Tissue
    label: int | None = 0


@dataclass(frozen=True)
class Anatomy:
    """A patient.

    Attributes:
        outside: Table and mattress, in CT alone and never warped.
        layers: The body, from skin to vessels.
        waves: ``(W, 3, 3)``: for each wave its direction times wave number (rad/mm), displacement (mm) and, in the
            first entry of the last row, phase; they bend every surface.
    """

    outside: tuple[Layer, ...]
    layers: tuple[Layer, ...]
    waves: np.ndarray


class _Chance:
    """Differences between patients, drawn in a fixed order."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 0])
        self.size = float(self.rng.uniform(0.9, 1.08))

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def at(self, center: Point, spread_mm: float = 5.0) -> Point:
        right, anterior, superior = np.array(center) * self.size + self.rng.uniform(-spread_mm, spread_mm, 3)
        return float(right), float(anterior), float(superior)

    def ellipsoid(self, center: Point, radii: Point, degrees: Point = (0, 0, 0), *, spread: float = 0.1) -> Ellipsoid:
        place = self.at(center, 50 * spread)
        a, b, c = np.array(radii) * self.size * self.rng.uniform(1 - spread, 1 + spread, 3)
        u, v, w = np.array(degrees) + self.rng.uniform(-80 * spread, 80 * spread, 3)
        return Ellipsoid(place, (float(a), float(b), float(c)), (float(u), float(v), float(w)))

    def tissue(self, name: str, hu: float = 0.0, mr: float = 0.0) -> Tissue:
        base = TISSUES[name]
        return Tissue(base.hu + self.between(-hu, hu), base.mr * (1 + self.between(-mr, mr)))


def draw_anatomy(seed: int) -> Anatomy:
    """Draw a patient; the same seed gives the same one."""
    chance = _Chance(seed)
    width, depth = 165 * chance.size, 112 * chance.size * chance.between(0.92, 1.08)
    fat = chance.between(7, 24)
    trunk = {inset: Trunk(width, depth, inset) for inset in (0.0, 2.5)}
    wall, cavity = Trunk(width, depth, fat), Trunk(width, depth, fat + 13)
    layers = [
        Layer(trunk[0.0], TISSUES["skin"]),
        Layer(trunk[2.5], TISSUES["fat"]),
        Layer(wall, TISSUES["muscle"]),
        Layer(cavity, TISSUES["visceral_fat"]),
        *_chest(chance, cavity),
        *_ribs(chance, Trunk(width, depth, fat + 3), Trunk(width, depth, fat + 10)),
        *_back(chance),
        *_gut(chance, cavity),
        *_spleen(chance, cavity),
        *_liver(chance, cavity),
        *_kidneys(chance),
        *_spine(chance, Trunk(width, depth, 9)),
        *_vessels(chance),
    ]
    return Anatomy(_table(depth), tuple(layers), _waves(chance))


def _table(depth: float) -> tuple[Layer, ...]:
    bed = Ellipsoid((0, 250 - depth * 0.92 - 25, 0), (420, 262, 5000))
    shell = Without(bed, (Ellipsoid((0, 250 - depth * 0.92 - 25, 0), (417, 258, 5000)),))
    below = HalfSpace((0, 1, 0), -depth * 0.75)
    return (
        Layer(Common((bed, below)), TISSUES["foam"]),
        Layer(Common((shell, below)), TISSUES["table"]),
    )


def _chest(chance: _Chance, cavity: Trunk) -> list[Layer]:
    diaphragm = (
        chance.ellipsoid((62, -2, 0), (98, 102, 108), spread=0.03),
        chance.ellipsoid((-66, -2, -14), (92, 98, 104), spread=0.03),
    )
    above = HalfSpace((0, 0, -1), -18 * chance.size)
    lungs = Without(Common((cavity, above)), diaphragm)
    middle = Common((Cylinder((-4, -8), (34 * chance.size, 84 * chance.size)), above))
    heart = chance.ellipsoid((-32, 34, 112), (60, 48, 46), (0, 0, 25), spread=0.05)
    return [
        Layer(lungs, chance.tissue("lung", hu=30)),
        Layer(middle, TISSUES["visceral_fat"]),
        Layer(heart, TISSUES["heart"]),
    ]


def _ribs(chance: _Chance, outer: Trunk, inner: Trunk) -> list[Layer]:
    rings = Slabs(33 * chance.size, 12 * chance.size, chance.between(-16, 16), -0.8)
    margin = HalfSpace((0, 0.78, -0.62), 42 * chance.size)  # the lower, the further back a rib ends
    marrow = Slabs(rings.period, rings.thickness - 5, rings.offset, rings.slope)
    shell = Without(outer, (inner,))
    core = Without(
        Trunk(outer.half_width, outer.half_depth, outer.inset + 2),
        (Trunk(inner.half_width, inner.half_depth, inner.inset - 2),),
    )
    return [
        Layer(Common((shell, rings, margin)), TISSUES["cortical_bone"]),
        Layer(Common((core, marrow, margin)), TISSUES["marrow"]),
    ]


def _back(chance: _Chance) -> list[Layer]:
    layers = []
    low = HalfSpace((0, 0, 1), -20 * chance.size)
    for side in (1, -1):
        erector = Cylinder((side * 36 * chance.size, -80 * chance.size), (31 * chance.size, 18 * chance.size))
        psoas = Common(
            (Cylinder((side * 38 * chance.size, -46 * chance.size), (17 * chance.size, 20 * chance.size)), low)
        )
        crus = Capsule((side * 16, -40, 55), (side * 14, -42, -35), 6)
        layers += [Layer(shape, TISSUES["muscle"]) for shape in (erector, psoas, crus)]
    return layers


def _gut(chance: _Chance, cavity: Trunk) -> list[Layer]:
    layers = [
        Layer(
            Union((Capsule((40, 22, -18), (-5, 18, -4), 13, 10), Capsule((-5, 18, -4), (-75, -8, 22), 10, 8))),
            TISSUES["pancreas"],
        ),
    ]
    for _ in range(26):  # small bowel and colon
        place = chance.at((chance.between(-100, 70), chance.between(-15, 66), chance.between(-125, -22)), 0)
        loop = chance.ellipsoid(place, (30, 15, 19), (chance.between(0, 90), 0, chance.between(0, 180)), spread=0.2)
        inner = Ellipsoid(loop.center, tuple(r - 3 for r in loop.radii), loop.degrees)  # type: ignore[arg-type]
        clipped, content = Common((loop, cavity)), Common((inner, cavity))
        layers += [Layer(clipped, TISSUES["wall"]), Layer(content, chance.tissue("bowel", hu=25, mr=0.5))]
        if chance.between(0, 1) < 0.4:
            level = HalfSpace((0, -1, 0), -(loop.center[1] + chance.between(-2, 6)))
            layers.append(Layer(Common((inner, cavity, level)), TISSUES["gas"]))
    body = chance.ellipsoid((-62, 38, 42), (44, 34, 50), (0, 15, 20))
    outlet = Capsule(body.center, (12, 48, -8), 22, 13)
    stomach = Common((Union((body, outlet)), cavity))
    lumen = Common(
        (
            Union(
                (
                    Ellipsoid(body.center, tuple(r - 4 for r in body.radii), body.degrees),  # type: ignore[arg-type]
                    Capsule(outlet.start, outlet.end, 18, 9),
                )
            ),
            cavity,
        )
    )
    level = HalfSpace((0, -1, 0), -(body.center[1] + chance.between(2, 14)))
    layers += [
        Layer(stomach, TISSUES["wall"]),
        Layer(lumen, chance.tissue("stomach", hu=15, mr=0.3)),
        Layer(Common((lumen, level)), TISSUES["gas"]),
    ]
    return layers


def _spleen(chance: _Chance, cavity: Trunk) -> list[Layer]:
    whole = chance.ellipsoid((-108, -34, 42), (31, 43, 50), (18, 0, -22))
    hilum = Ellipsoid((whole.center[0] + 34 * chance.size, whole.center[1] + 20, whole.center[2] - 8), (28, 34, 40))
    spleen = Common((Without(whole, (hilum,)), cavity))
    return [Layer(spleen, chance.tissue("spleen", hu=12, mr=0.15), LABELS["spleen"])]


def _liver(chance: _Chance, cavity: Trunk) -> list[Layer]:
    right = chance.ellipsoid((84, -8, 22), (52, 70, 64), (0, 0, 14))
    tip = chance.ellipsoid((104, -8, -44), (31, 48, 46), spread=0.15)
    left = chance.ellipsoid((8, 50, 48), (72, 25, 34), (0, -12, -10), spread=0.15)
    dome = chance.ellipsoid((66, 4, 66), (56, 60, 32), spread=0.04)
    hollow = chance.ellipsoid((18, -22, -20), (50, 50, 52), spread=0.06)
    fissure = Capsule(chance.at((34, 95, 26)), chance.at((26, 24, 12)), 7, 4)
    limit = Ellipsoid((20, 0, 0), (220, 160, 108 * chance.size))  # under the diaphragm
    solid = Common((Without(Union((right, tip, left, dome), 22), (hollow, fissure)), cavity, limit))
    tissue = chance.tissue("liver", hu=14, mr=0.15)
    porta, entry = chance.at((22, 4, 4), 3), chance.at((62, 8, 24), 3)
    fork, cava = chance.at((72, 6, 30), 3), chance.at((26, -26, 84), 2)
    veins = [
        Capsule(porta, entry, 8, 6.5),
        Capsule(entry, chance.at((104, 28, 18), 8), 5, 2),
        Capsule(fork, chance.at((106, -36, 38), 8), 5, 2),
        Capsule(entry, chance.at((24, 48, 46), 6), 5, 2.5),
        Capsule(cava, chance.at((112, -28, 48), 8), 6, 2),
        Capsule(cava, chance.at((70, 46, 44), 8), 6, 2),
        Capsule(cava, chance.at((-6, 56, 60), 8), 5, 2),
        Capsule(entry, chance.at((98, -2, -48), 8), 5, 2.5),
        Capsule(fork, chance.at((74, 52, 22), 8), 4, 2),
        Capsule(fork, chance.at((90, -10, 74), 8), 4, 2),
    ]
    inside = [Layer(Common((vein, solid)), TISSUES["blood"], None) for vein in veins]
    gallbladder = chance.ellipsoid((56, 52, -24), (14, 24, 22), (-20, 0, 10), spread=0.15)
    return [
        Layer(solid, tissue, LABELS["liver"]),
        Layer(veins[0], TISSUES["blood"], None),
        *inside,
        Layer(gallbladder, TISSUES["fluid"]),
    ]


def _kidneys(chance: _Chance) -> list[Layer]:
    layers = []
    for side, name, height in ((1, "right_kidney", -42), (-1, "left_kidney", -22)):
        kidney = chance.ellipsoid((side * 64, -48, height), (26, 28, 53), (-8, side * 14, side * -28), spread=0.07)
        x, y, z = kidney.center
        a, b, c = kidney.radii
        capsule = Ellipsoid(kidney.center, (a + 5, b + 5, c + 5), kidney.degrees)
        inner = Ellipsoid(kidney.center, (a - 9, b - 9, c - 11), kidney.degrees)
        sinus = Ellipsoid((x - side * 15, y + 8, z), (17, 10, 21), kidney.degrees)
        pelvis = Capsule((x - side * 10, y + 5, z), (x - side * 27, y + 12, z - 12), 5, 3)
        label = LABELS[name]
        layers += [
            Layer(capsule, TISSUES["visceral_fat"]),
            Layer(kidney, chance.tissue("cortex", hu=20, mr=0.1), label),
            Layer(inner, chance.tissue("medulla", hu=15, mr=0.1), label),
            Layer(sinus, TISSUES["visceral_fat"]),
            Layer(pelvis, TISSUES["fluid"]),
        ]
    return layers


def _spine(chance: _Chance, under_skin: Trunk) -> list[Layer]:
    size = chance.size
    middle = -58 * size
    period, offset = 34 * size, chance.between(-17, 17)
    body = Cylinder((0, middle), (24 * size, 18 * size))
    core = Cylinder((0, middle), (22 * size, 16 * size))
    discs = Slabs(period, 9, offset)
    levels = Slabs(period, 18, offset + period / 2)
    canal = (0.0, middle - 27 * size)
    process = Common((Cylinder((0, canal[1] - 24 * size), (5, 20 * size)), levels, under_skin))
    wings = [
        Common((Capsule((side * 10, canal[1] + 2, 0), (side * 40, canal[1] - 4, 0), 5), levels)) for side in (1, -1)
    ]
    sides = [Common((Cylinder((side * 34 * size, canal[1] + 1), (14, 5)), levels)) for side in (1, -1)]
    arch = Common((Cylinder(canal, (15, 14)), Slabs(period, 24, offset + period / 2)))
    return [
        *(Layer(wing, TISSUES["cortical_bone"]) for wing in (*wings, *sides)),
        Layer(process, TISSUES["cortical_bone"]),
        Layer(arch, TISSUES["cortical_bone"]),
        Layer(body, TISSUES["cortical_bone"]),
        Layer(core, chance.tissue("marrow", hu=40, mr=0.2)),
        Layer(Common((body, discs)), TISSUES["disc"]),
        Layer(Cylinder(canal, (10, 9)), Tissue(25, 800)),
        Layer(Cylinder(canal, (5, 4.5)), Tissue(40, 330)),
    ]


def _vessels(chance: _Chance) -> list[Layer]:
    size = chance.size
    cava = Capsule((24 * size, -30 * size, -400), (26 * size, -26 * size, 100 * size), 11 * size)
    aorta = Cylinder((-10 * size, -30 * size), (10 * size, 10 * size))
    arteries: list[Shape] = [
        Capsule((-8, -22, 22), (-8, 8, 14), 4, 3),  # celiac trunk
        Capsule((-8, -24, 2), (-4, 2, -40), 4, 3),  # superior mesenteric artery
        Capsule((-14, -32, -12), (-52, -44, -20), 4, 3),
        Capsule((0, -32, -22), (50, -44, -38), 4, 3),
    ]
    splenic = Capsule((12, 6, 4), (-84, -28, 30), 5, 4)
    blood = chance.tissue("blood", hu=12, mr=0.2)
    return [Layer(shape, blood) for shape in (splenic, *arteries, cava, aorta)]


def _waves(chance: _Chance) -> np.ndarray:
    waves = np.zeros((4, 3, 3))
    for wave in waves:
        direction = chance.rng.standard_normal(3)
        wave[0] = direction / np.linalg.norm(direction) * 2 * np.pi / chance.between(70, 150)
        wave[1] = chance.rng.uniform(-2.2, 2.2, 3)
        wave[2, 0] = chance.between(0, 2 * np.pi)
    return waves
