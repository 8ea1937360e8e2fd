"""A recipe is all that decides how a network is trained: plain data, saved in the bundle.

Only data here, no Keras: listing and checking recipes must not cost a TensorFlow import.
"""

import dataclasses
from typing import Any, Literal

from model.heads import Head
from model.preprocessing import InputSpec


@dataclasses.dataclass(frozen=True)
class PlainStack:
    """The notebook's network: blocks of 3x3 valid convolution, relu, 2x2 max pool; a branch a head.

    Source: mvisnjic/age-and-gender-prediction-using-CNN, age_gender_prediction_final.ipynb.
    """

    filters: tuple[int, ...] = (32, 64, 128, 256, 512)
    branch_units: int = 512
    dropout: float = 0.3


@dataclasses.dataclass(frozen=True)
class Residual:
    """Small residual network (He 2016, with ResNet-D shortcuts) made for a CPU's bf16 units.

    Attributes:
        stem_filters: channels of the 3x3 stride-2 stem.
        filters: channels of each stage; every stage halves the side first.
        blocks: residual blocks of each stage.
        dropout: before the heads.
    """

    stem_filters: int = 32
    filters: tuple[int, ...] = (64, 128, 256)
    blocks: tuple[int, ...] = (1, 2, 2)
    dropout: float = 0.3


@dataclasses.dataclass(frozen=True)
class LeviHassner:
    """Levi & Hassner 2015, "Age and Gender Classification using CNNs", figure 2.

    A 227x227 crop of the 256x256 input; 96 filters 7x7 stride 4, 256 of 5x5, 384 of 3x3, each with
    relu and 3x3/2 max pool, local response normalisation after the first two pools; two fully
    connected layers of 512 with relu and dropout. All weights start from a Gaussian of 0.01, as
    there; that is for pixels up to 255 about zero. The published files subtract the mean image, we
    subtract 127.5.
    """

    crop: int = 227
    units: int = 512
    dropout: float = 0.5


@dataclasses.dataclass(frozen=True)
class Dhomne:
    """Dhomne, Kumar & Bhan 2018, "Gender Recognition Through Face Using Deep Learning".

    The paper says VGG-style, 227x227 crops, and a first fully connected layer "on the third
    convolutional stage"; it gives neither filters nor depth. We take VGG-16's first three stages
    (2 x 64, 2 x 128, 3 x 256 filters of 3x3, relu, 2x2 max pool) and, since flattening 28x28x256
    would make 103 million weights of the first dense layer alone, one more 4x4 pool before it.
    The paper names relu and dropout for the first dense layer; the second has them here too.
    """

    crop: int = 227
    filters: tuple[tuple[int, int], ...] = ((64, 2), (128, 2), (256, 3))  # (channels, convolutions)
    last_pool: int = 4
    units: int = 512
    dropout: float = 0.5


Network = PlainStack | Residual | LeviHassner | Dhomne


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Strengths; zero switches one off. Geometry is one affine warp, so it costs one resampling."""

    mirror: bool = False
    rotate_degrees: float = 0.0  # uniform in +-
    scale: float = 0.0  # zoom factor uniform in 1 +-
    shift: float = 0.0  # of the side, uniform in +-
    stretch: float = 0.0  # of the aspect ratio, uniform in +-
    brightness: float = 0.0  # of the range 0-255, uniform in +-
    contrast: float = 0.0  # factor uniform in 1 +-
    color: float = 0.0  # saturation factor uniform in 1 +-; RGB only
    grey: float = 0.0  # probability of losing all colour; RGB only
    erase: float = 0.0  # probability of one grey rectangle of 2-20 % (Zhong 2017)
    # A quarter of the images is sharpened by as wide a kernel instead (unsharp mask).
    blur: float = 0.0  # Gaussian, sigma uniform from 0 to this many pixels of the network's input
    shrink: float = 0.0  # enlarged from fewer pixels a side: 1 down to 1 - this share, uniform
    noise: float = 0.0  # Gaussian, deviation uniform from 0 to this share of the range 0-255

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return self != Augmentation()

    def __post_init__(self) -> None:
        """Check the share that shrinking leaves.

        Raises:
            ValueError: it leaves none.
        """
        if not 0.0 <= self.shrink <= 0.9:
            raise ValueError(f"shrink {self.shrink} must be 0 to 0.9")

    def to_json(self) -> dict[str, Any]:
        """Plain data; what came later is left out at 0, so that recipes keep their identity."""
        data = dataclasses.asdict(self)
        return {k: v for k, v in data.items() if v or k not in ("blur", "shrink", "noise")}


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """The optimizer and its learning-rate schedule over the run's steps."""

    name: Literal["adam", "adamw", "muon", "sgd"] = "adam"
    learning_rate: float = 1e-3  # the peak
    schedule: Literal["constant", "cosine", "step"] = "constant"
    warmup_share: float = 0.0  # of all steps, linear from 0
    step_after: int = 0  # for `step`: learning rate / 10 after this many steps
    weight_decay: float = 0.0
    momentum: float = 0.9  # sgd only
    clip_norm: float | None = None  # of the gradient over all workers
    ema: float | None = None  # decay of the averaged weights that the bundle keeps


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One preset: network + input + heads + optimizer + augmentation + length.

    Attributes:
        name: the preset's name.
        source: where it comes from, and the figure to expect.
        input: what the network takes.
        network: the architecture.
        heads: the outputs and their losses.
        optimizer: optimizer and schedule.
        augmentation: strengths, on train images only.
        epochs: passes over the train split.
        global_batch_size: images a step over all workers.
        auxiliary: names of heads that are trained for what they teach the network, and left out of
            the bundle.
        sides: (share of the epochs, pixels): up to that share, training shrinks its augmented
            images to this side, which is cheaper (progressive resizing, Tan & Le 2021). They are
            validated at that side too.
    """

    name: str
    source: str
    input: InputSpec
    network: Network
    heads: tuple[Head, ...]
    optimizer: Optimizer = Optimizer()
    augmentation: Augmentation = Augmentation()
    epochs: int = 12
    global_batch_size: int = 32
    auxiliary: tuple[str, ...] = ()
    sides: tuple[tuple[float, int], ...] = ()

    def __post_init__(self) -> None:
        """Check that small images fit the network.

        Raises:
            ValueError: only a `Residual` network takes images of any size, and only square ones
                smaller than its input are a head start.
        """
        if self.sides and not (
            isinstance(self.network, Residual)
            and all(8 <= side < self.input.height == self.input.width for _, side in self.sides)
        ):
            raise ValueError(f"{self.name}: sides {self.sides} do not suit its network or input")

    def side_at(self, epoch: int) -> int | None:
        """The side in pixels that images are shrunk to; None, as in the last epoch, for none.

        Args:
            epoch: counted from 0.
        """
        last = self.epochs - 1
        return next(
            (side for share, side in self.sides if epoch < min(share * self.epochs, last)), None
        )

    @property
    def training_shape(self) -> tuple[int | None, int | None, int]:
        """(height, width, channels) of images in training; any size where they grow."""
        height, width, channels = self.input.shape
        return (None, None, channels) if self.sides else (height, width, channels)

    @property
    def kept_heads(self) -> tuple[Head, ...]:
        """The heads of the bundle."""
        return tuple(head for head in self.heads if head.name not in self.auxiliary)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `bundle.json`; the architecture's class name is its `kind`."""
        data = dataclasses.asdict(self)
        data["input"] = self.input.to_json()
        data["augmentation"] = self.augmentation.to_json()
        data["network"]["kind"] = type(self.network).__name__
        if not self.auxiliary:
            del data["auxiliary"]  # left out, so that recipes without it keep their identity
        if not self.sides:
            del data["sides"]
        return data
