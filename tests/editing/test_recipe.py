"""The text of a recipe: what it says, and what is no recipe."""

import dataclasses

import numpy as np
import pytest

from stylegan_jax.editing.recipe import Move, Recipe, Source
from stylegan_jax.errors import UserError

# Each text is in the form in which a recipe prints itself.
TEXTS = {
    'seed:5': Recipe(Source('seed', (5,))),
    'seed:4294967295;psi=0': Recipe(Source('seed', (2**32 - 1,)), psi=0.0),
    'walk:3.5,-0.25': Recipe(Source('walk', place=(3.5, -0.25))),
    'loop:0,1,9@1.5': Recipe(Source('loop', (0, 1, 9), (1.5,))),
    'out/a%20b.npz#2': Recipe(Source('file', name='out/a b.npz', row=2)),
    'seed:1;coarse=seed:2;4-7,9=walk:1,2.5;3=x.npz#0': Recipe(
        Source('seed', (1,)),
        (
            ('coarse', Source('seed', (2,))),
            ('4-7,9', Source('walk', place=(1.0, 2.5))),
            ('3', Source('file', name='x.npz')),
        ),
    ),
    'seed:0;move:pc0=1.5;move:dark_hair@0-3=-2;directions=d.npz': Recipe(
        moves=(Move('pc0', 1.5), Move('dark_hair', -2.0, '0-3')), directions='d.npz'
    ),
    'seed:0;move:a%3Bb%40c%3D%C3%A9@fine=1': Recipe(moves=(Move('a;b@c=é', 1.0, 'fine'),)),
    'seed:0;noise=random:3;noise@6-7=0.5;psi=0.7;cutoff=8': Recipe(
        noise='random:3', factors=(('6-7', 0.5),), psi=0.7, cutoff=8
    ),
    'seed:0;noise=x%23y.npz#1': Recipe(noise='x%23y.npz#1'),
    'seed:0;class=big%20cat;lod=1.25;nimg=80000;grid=3x2': Recipe(class_='big cat', lod=1.25, nimg=80000, grid=(3, 2)),
    'seed:0;label=0,1,0.5': Recipe(label=(0.0, 1.0, 0.5)),
}
WRONG = [
    *(
        'seed:-1',
        'seed:4294967296',
        'seed:1.5',
        'walk:1',
        'walk:1,nan',
        'walk:1,inf',
        'walk:1e9,0',
        'loop:@1',
        'loop:3-1',
    ),
    *('loop:0-99', 'x.npz', 'x.npz#-1', '#1', 'seed:1;seed:2', 'seed:1;psi=x', 'seed:1;psi=nan', 'seed:1;psi=1;psi=1'),
    *('seed:1;grid=0x1', 'seed:1;grid=17x1', 'seed:1;grid=9x9', 'seed:1;noise=loud', 'seed:1;noise=random:x'),
    *('seed:1;pc0=1', 'seed:1;move:pc0=', 'seed:1;move:pc0@top=1', 'seed:1;cutoff=-1', 'seed:1;label=', 'seed:1;1=2'),
    *('seed:1;class=a;label=1', 'seed:1;' * 65, 'seed:1;' + 'move:a=1;' * 65, 'x' * 9000),
]


@pytest.mark.parametrize('text', TEXTS)
def test_a_text_says_what_it_says(text):
    recipe = TEXTS[text]
    assert Recipe.parse(text) == recipe
    assert str(recipe) == text
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_a_text_may_have_spaces_and_ranges():
    assert Recipe.parse(' loop:0-2,9@1 ; psi=0.5 ;') == Recipe(Source('loop', (0, 1, 2, 9), (1.0,)), psi=0.5)


@pytest.mark.parametrize('text', WRONG, ids=lambda text: text[:30])
def test_what_is_no_recipe_is_one_line(text):
    with pytest.raises(UserError) as error:
        Recipe.parse(text)
    assert '\n' not in str(error.value) and len(str(error.value)) < 8300


@pytest.mark.parametrize('field', [field.name for field in dataclasses.fields(Recipe)])
@pytest.mark.parametrize(
    'value', [[[[[1]]]], 'x;psi=3', {'a': 1}, float('nan'), 10**400, [['0', 'seed:1', 3, 4]], True]
)
def test_values_of_another_kind_are_refused_or_harmless(field, value):
    """Pages send plain values; whatever they are, nothing but a UserError comes of them."""
    try:
        recipe = Recipe.from_dict({field: value})
    except UserError:
        return
    assert Recipe.parse(str(recipe)) == recipe


@pytest.mark.parametrize('values', [None, 3, 'seed:1', [1], [[1, 2], [3, 4]], {1: 2}])
def test_what_is_no_dict_of_fields_is_refused_or_plain(values):
    try:
        assert Recipe.from_dict(values) == Recipe()
    except UserError:
        pass


def test_numbers_are_as_exact_as_they_are_written():
    recipe = Recipe.from_dict({'psi': 1 / 3, 'moves': [['pc0', 2 / 3, None]]})
    assert recipe.psi == 0.3333333 and recipe.moves[0].strength == 0.6666667


def test_cells_of_a_grid_have_the_next_sources():
    def shifted(text):
        return str(Source.parse(text).shifted(2, 1, 3))

    assert shifted('seed:4294967294') == 'seed:3'
    assert shifted('walk:0.5,7') == 'walk:2.5,8'
    assert shifted('loop:0,1@0.5') == 'loop:0,1@5.5'
    assert shifted('x.npz#1') == 'x.npz#6'


def test_a_walk_is_between_four_seeds():
    assert Source.parse('walk:3,2').weights() == {203: 1.0}
    found = Source.parse('walk:3.25,0.5').weights()
    assert found == {3: 0.375, 4: 0.125, 103: 0.375, 104: 0.125}
    assert set(Source.parse('walk:-0.5,0').weights()) == {2**32 - 1, 0}
    np.testing.assert_allclose(sum(Source.parse('walk:-12.3,45.6').weights().values()), 1)


def test_names_of_files_are_exchanged_everywhere():
    recipe = Recipe.parse('a#1;0=b#2;directions=d;move:x=1;noise=a#1')
    assert (
        str(recipe.named({'a': 'p/a', 'b': 'p/b', 'd': 'p/d'})) == 'p/a#1;0=p/b#2;move:x=1;noise=p/a#1;directions=p/d'
    )
    with pytest.raises(UserError, match='b is not among the files'):
        recipe.named({'a': 'p/a', 'd': 'p/d'})
