"""The presets, each a recipe read at a glance; `jobs.train` prints them."""

import dataclasses

from model import heads, labels
from model.errors import UsageError
from model.faces.alignment import UTKFACE_CHIPS
from model.heads import Head
from model.preprocessing import InputSpec
from model.recipes import (
    Augmentation,
    Dhomne,
    LeviHassner,
    Optimizer,
    PlainStack,
    Recipe,
    Residual,
)

NOTEBOOK = "mvisnjic/age-and-gender-prediction-using-CNN"

_ADIENCE_AGE = Head("age_group", "age_years", "classes", labels.bin_names(labels.LEVI_HASSNER))
_TWO_GENDERS = Head("gender", "gender", "classes", labels.GENDERS)
# Momentum is not in the paper; 0.9 and weight decay 5e-4 are in its published solver file.
_LEVI_HASSNER_SGD = Optimizer(
    "sgd", 1e-3, "step", step_after=10_000, momentum=0.9, weight_decay=5e-4
)
# A shift of up to 14.5 pixels under the network's centre crop of 227 is a random 227 crop of 256.
_RANDOM_CROP = Augmentation(mirror=True, shift=14.5 / 256)

_OUR_HEADS = (
    dataclasses.replace(heads.GENDER, weight=2.0),
    dataclasses.replace(heads.AGE, kind="distribution"),
    dataclasses.replace(heads.RACE, weight=0.3),
)
_OUR_OPTIMIZER = Optimizer("adamw", 2e-3, "cosine", warmup_share=0.05, weight_decay=0.05, ema=0.998)
_OUR_INPUT = InputSpec(96, 96, "rgb", "bilinear", jpeg_oversample=1)  # docs/benchmarks/decoding.md
_NOTEBOOK_INPUT = InputSpec(128, 128, "grey")
_NOTEBOOK_HEADS = (heads.GENDER, heads.AGE)

_MUON = Recipe(
    name="facemill-muon",
    source="ours: val 4.9 years, 93 % in 1.4 core hours; shipped after a second step "
    "(docs/log/2026-11-25-facemill-muon.md): val 4.68 years, 93.4 %",
    input=_OUR_INPUT,
    network=Residual(32, (64, 128, 256), (2, 2, 2), dropout=0.4),
    heads=_OUR_HEADS,
    optimizer=dataclasses.replace(_OUR_OPTIMIZER, name="muon"),
    augmentation=Augmentation(
        mirror=True, rotate_degrees=15, scale=0.15, shift=0.08, stretch=0.08,
        brightness=0.2, contrast=0.4, color=0.4, grey=0.15, erase=0.5,
    ),
    epochs=36,
    global_batch_size=64,
    auxiliary=("race",),  # it helps training; predicting it is no supported use
    sides=((0.4, 64), (0.7, 80)),
)  # fmt: skip

PRESETS: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="seed-iteration-1",
            source=f"{NOTEBOOK}, report: gender 89 %, age MAE 6.8",
            input=_NOTEBOOK_INPUT,
            network=PlainStack((32, 64, 128), branch_units=512, dropout=0.3),
            heads=_NOTEBOOK_HEADS,
            epochs=12,
            global_batch_size=32,
        ),
        Recipe(
            name="seed-iteration-2",
            source=f"{NOTEBOOK}, report: gender 87-88 %, age MAE 7.8",
            input=_NOTEBOOK_INPUT,
            network=PlainStack((32, 64, 128), branch_units=256, dropout=0.5),
            heads=_NOTEBOOK_HEADS,
            epochs=12,
            global_batch_size=128,
        ),
        Recipe(
            name="seed-iteration-3",
            source=f"{NOTEBOOK}, report: gender 88 %, age MAE 6.8-6.9",
            input=_NOTEBOOK_INPUT,
            network=PlainStack((32, 64, 128, 256), branch_units=512, dropout=0.3),
            heads=_NOTEBOOK_HEADS,
            epochs=12,
            global_batch_size=64,
        ),
        Recipe(
            name="seed-final",
            source=f"{NOTEBOOK}, final: gender 86.48 %, age MAE 6.82 on a random fifth",
            input=_NOTEBOOK_INPUT,
            network=PlainStack((32, 64, 128, 256, 512), branch_units=512, dropout=0.3),
            heads=_NOTEBOOK_HEADS,
            epochs=12,
            global_batch_size=32,
        ),
        # The paper counts iterations: 100 epochs of our train split are 22,100, twice its 10,000.
        Recipe(
            name="levi-hassner-age",
            source="Levi & Hassner 2015: exact 50.7 %, one-off 84.7 % on Adience, 5 folds",
            input=InputSpec(256, 256, "rgb"),
            network=LeviHassner(),
            heads=(_ADIENCE_AGE,),
            optimizer=_LEVI_HASSNER_SGD,
            augmentation=_RANDOM_CROP,
            epochs=100,
            global_batch_size=50,
        ),
        Recipe(
            name="levi-hassner-gender",
            source="Levi & Hassner 2015: 86.8 % on Adience, 5 folds",
            input=InputSpec(256, 256, "rgb"),
            network=LeviHassner(),
            heads=(_TWO_GENDERS,),
            optimizer=_LEVI_HASSNER_SGD,
            augmentation=_RANDOM_CROP,
            epochs=100,
            global_batch_size=50,
        ),
        # The paper names neither optimizer nor length. Adam at a tenth of its default rate, because
        # a deep stack without batch norm diverges easily; 30 epochs are 5,190 steps, about as many
        # as the 5,690 of the notebook's runs.
        Recipe(
            name="dhomne-gender",
            source="Dhomne et al. 2018: 95 % on celebrity ID photos; optimizer not given, ours",
            input=InputSpec(256, 256, "rgb"),
            network=Dhomne(),
            heads=(_TWO_GENDERS,),
            optimizer=Optimizer("adam", 1e-4),
            augmentation=_RANDOM_CROP,
            epochs=30,
            global_batch_size=64,
        ),
        Recipe(
            name="demo",
            source="ours, for `make demo`: learns drawn faces in a minute on two cores",
            input=InputSpec(48, 48, "grey"),
            network=PlainStack((16, 32, 64), branch_units=64, dropout=0.2),
            # Years weigh tens at first, cross-entropy 0.7: without 10x gender learns only later.
            heads=(dataclasses.replace(heads.GENDER, weight=10.0), heads.AGE),
            augmentation=Augmentation(mirror=True),
            epochs=40,
            global_batch_size=16,
        ),
        Recipe(
            name="facemill",
            source="ours: val age MAE 4.78 years, 93.6 % (docs/log/2026-11-25-our-network.md)",
            input=_OUR_INPUT,
            network=Residual(32, (64, 128, 256), (2, 2, 2), dropout=0.3),
            heads=_OUR_HEADS,
            optimizer=_OUR_OPTIMIZER,
            augmentation=Augmentation(
                mirror=True, rotate_degrees=12, scale=0.12, shift=0.06, stretch=0.06,
                brightness=0.15, contrast=0.3, color=0.4, grey=0.1, erase=0.3,
            ),
            epochs=60,
            global_batch_size=64,
            auxiliary=("race",),  # it helps training; predicting it is no supported use
        ),
        _MUON,
        dataclasses.replace(
            _MUON,
            name="facemill-photo",
            source="ours, for photos: facemill-muon, also trained on blurred, sharpened, enlarged "
            "and noisy images (docs/benchmarks/faces.md)",
            input=dataclasses.replace(_OUR_INPUT, alignment=UTKFACE_CHIPS),
            augmentation=dataclasses.replace(
                _MUON.augmentation, blur=1.5, shrink=0.6, noise=0.03
            ),
        ),
    )
}  # fmt: skip


def preset(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UsageError: there is none; the message lists what there is.
    """
    if name not in PRESETS:
        raise UsageError(f"unknown preset {name!r}: choose one of {', '.join(sorted(PRESETS))}")
    return PRESETS[name]
