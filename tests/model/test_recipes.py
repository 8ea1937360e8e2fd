"""Recipes: what each epoch is given."""

import dataclasses

from model.presets import preset


def test_pictures_grow_at_the_shares_of_the_epochs_that_the_recipe_names() -> None:
    recipe = dataclasses.replace(preset("demo"), epochs=10, sides=((0.4, 16), (0.7, 32)))
    sides = [recipe.side_at(epoch) for epoch in range(10)]
    assert sides == [16] * 4 + [32] * 3 + [None] * 3
    assert {preset("demo").side_at(epoch) for epoch in range(10)} == {None}


def test_a_recipe_without_it_is_written_as_before_there_was_any() -> None:
    assert "sides" not in preset("demo").to_json()
    assert dataclasses.replace(preset("demo"), sides=((0.5, 16),)).to_json()["sides"]
