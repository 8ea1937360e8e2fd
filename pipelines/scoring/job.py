"""A scoring job: its options, opened and checked, before its output is looked at."""

import dataclasses
from typing import Any

from model.backends.selection import Compute
from model.bundle import Bundle
from model.calibration import Reading, chosen_bins
from model.faces.crops import FaceSearch, finding_id
from model.heads import require_distribution
from model.tta import require_crop
from pipelines.bundles.opening import open_bundle
from pipelines.manifests.sources import Source, open_source
from pipelines.predictions import schemas
from pipelines.scoring.options import Faces, ScoreOptions


@dataclasses.dataclass(frozen=True)
class Job:
    """What to score, with which network, where to.

    Attributes:
        options: as the user gave them.
        output: normalized.
        bundle: the network.
        source: of the inputs.
        reading: coverage of the age interval, binning of the age groups.
    """

    options: ScoreOptions
    output: str
    bundle: Bundle
    source: Source
    reading: Reading

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the predictions of a new run."""
        more = (schemas.AGE_DISTRIBUTION,) if self.options.network.age_distribution else ()
        return (*schemas.COLUMNS, *more)

    def search(self, faces: Faces) -> FaceSearch | None:
        """Which faces of each image go to the network; None: the image is one face crop."""
        return self.options.detection.search if faces == "detect" else None

    def identity(self, compute: Compute, faces: Faces) -> dict[str, Any]:
        """All that can change a row, or which rows there are, as job.json has it."""
        search = self.search(faces)
        by = {"by": finding_id(self.bundle.input)}
        return {
            **self.source.identity(),
            "faces": faces,
            "detection": search and {**by, **dataclasses.asdict(search)},
            "bundle_id": self.bundle.id,
            **dataclasses.asdict(compute),
            "views": self.options.network.tta,
            **dataclasses.asdict(self.reading),
            **({"age_distribution": True} if self.options.network.age_distribution else {}),
        }


def prepare(
    options: ScoreOptions, bundle: Bundle | None = None, source: Source | None = None
) -> Job:
    """The job that options mean.

    Args:
        options: what and where.
        bundle: in place of the one that they name.
        source: in place of the one that they name.

    Raises:
        UsageError: a value is not legal, or does not fit the bundle.
        BundleError: the bundle cannot be loaded.
    """
    network = options.network
    bundle = bundle or open_bundle(options.bundle)
    require_crop(bundle, network.tta)
    if network.age_distribution:
        require_distribution(bundle.name, bundle.heads)
    source = source or open_source(
        options.images, options.manifest, options.passed_through, options.exclude
    )
    reading = Reading(network.coverage, chosen_bins(network.age_bins, bundle.heads))
    return Job(options, options.place, bundle, source, reading)
