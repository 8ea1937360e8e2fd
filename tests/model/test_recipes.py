"""Recipes: what each epoch is given."""

import dataclasses

import pytest

from model.presets import preset


def test_pictures_grow_at_the_shares_of_the_epochs_that_the_recipe_names() -> None:
    recipe = dataclasses.replace(preset("facemill-muon"), epochs=10, sides=((0.4, 16), (0.7, 32)))
    sides = [recipe.side_at(epoch) for epoch in range(10)]
    assert sides == [16] * 4 + [32] * 3 + [None] * 3
    assert dataclasses.replace(recipe, epochs=1).side_at(0) is None
    assert {preset("demo").side_at(epoch) for epoch in range(10)} == {None}


def test_a_recipe_without_it_is_written_as_before_there_was_any() -> None:
    assert "sides" not in preset("demo").to_json()
    assert "sides" in preset("facemill-muon").to_json()


@pytest.mark.parametrize(("name", "side"), [("seed-final", 64), ("facemill", 96), ("facemill", 4)])
def test_sides_that_the_network_cannot_take_are_refused(name: str, side: int) -> None:
    with pytest.raises(ValueError, match="do not suit its network or input"):
        dataclasses.replace(preset(name), sides=((0.5, side),))
