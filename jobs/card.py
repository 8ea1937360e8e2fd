"""The model card of a bundle: `python -m jobs.card --bundle URI --output FOLDER`.

Writes MODEL_CARD.md and MODEL_CARD.html. With predictions of the bundle and their labels the card
also shows subgroups.
"""

from collections.abc import Sequence

from jobs import cli
from pipelines.reporting.options import CardOptions


def job(options: CardOptions) -> None:
    """Write the card and print its files."""
    from pipelines.reporting.model_card import card

    cli.print_table("wrote the model card", [("file", uri) for uri in card(options)])


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    cli.run(CardOptions, job, argv)


if __name__ == "__main__":
    main()
