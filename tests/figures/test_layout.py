"""Tables of images: where each one stands, with gutters, headers and captions."""

import numpy as np
import pytest

from stylegan_jax.figures import captions
from stylegan_jax.figures.layout import Captions, Cell, table

WORDS = Captions('A title of several words', ['one', 'two\nlines'], ['first row', 'second'], 14)


def noise(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, [height, width, channels], np.uint8)


def test_images_stand_side_by_side_without_gutters():
    a, b, c, d = (noise(4, 6, seed=seed) for seed in range(4))
    figure = table([[a, b], [c, d]])
    np.testing.assert_array_equal(figure.picture, np.vstack([np.hstack([a, b]), np.hstack([c, d])]))
    assert figure.cells[1, 1] == Cell(4, 6, 4, 6)


def test_gutters_are_white_and_wider_after_headers():
    black = np.zeros([2, 2, 1], np.uint8)
    figure = table([[black] * 3] * 2, gutter=1, header_columns=1)
    line = [0, 0, 255, 255, 255, 255, 0, 0, 255, 0, 0]
    np.testing.assert_array_equal(figure.picture[..., 0], [line, line, [255] * 11, line, line])


def test_columns_and_rows_are_as_large_as_their_largest_image():
    figure = table([[noise(2, 5), noise(4, 3)], [noise(1, 1), noise(3, 6)]])
    assert figure.picture.shape == (7, 11, 3)
    assert figure.cells[0, 1] == Cell(0, 5, 4, 3) and figure.cells[1, 0] == Cell(4, 0, 1, 1)


def test_empty_places_are_white_and_have_no_name():
    figure = table([[None, noise(2, 2)], [noise(2, 2), noise(2, 2)]])
    assert (figure.picture[:2, :2] == 255).all() and set(figure.cells) == {(0, 1), (1, 0), (1, 1)}


def test_tables_stand_in_tables():
    inner = [noise(3, 3, seed=seed) for seed in range(4)]
    figure = table([[noise(8, 8, seed=9), table([inner[:2], inner[2:]], gutter=2)]], gutter=1)
    np.testing.assert_array_equal(figure.image(0, 1, 1, 0), inner[2])
    assert figure.cells[0, 1, 1, 1] == Cell(5, 14, 3, 3)


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_captions_change_no_cell(channels):
    rows = [[noise(40, 30, channels, 10 * r + c) for c in range(2)] for r in range(2)]
    plain, written = (table(rows, gutter=3, words=words) for words in (None, WORDS))
    assert written.cells.keys() == plain.cells.keys()
    for r, c in plain.cells:
        np.testing.assert_array_equal(written.image(r, c), rows[r][c])
    rest = written.picture.copy()
    for cell in written.cells.values():
        cell.of(rest)[:] = 255
    assert (rest[..., 0] < 100).sum() > 200  # there is ink
    edge = np.concatenate([rest[0], rest[-1], rest[:, 0], rest[:, -1]])
    assert (edge == 255).all()  # and none is cut off
    assert channels != 4 or (rest[..., 3] == 255).all()


def test_columns_are_wide_enough_for_their_captions():
    figure = table([[noise(8, 4)] * 2], words=Captions(columns=['a long caption', 'another long caption'], size=14))
    first, second = (captions.text_mask(text, 14).shape[1] for text in ('a long caption', 'another long caption'))
    assert figure.cells[0, 1].left - figure.cells[0, 0].left == first
    assert figure.picture.shape[1] == 2 * 7 + first + second


def test_long_titles_are_broken_and_do_not_widen_the_table():
    text = 'many words that do not fit into one line of this table'
    figure, wide = (table([[noise(50, 90 * n)]], words=Captions(text, size=14)) for n in (1, 10))
    assert figure.picture.shape[1] == 90 + 14
    line = captions.text_mask('x', 14).shape[0]
    more = figure.cells[0, 0].top - wide.cells[0, 0].top
    assert more >= 3 * line and more % line == 0


# Text.


def test_text_has_ink_in_every_line_and_grows_with_its_size():
    small, large = (captions.text_mask('one\ntwo', size) for size in (14, 28))
    assert small.max() == large.max() == 255 and large.sum() > 3 * small.sum()
    assert all(half.max() == 255 for half in np.split(large, 2))


def test_captions_are_readable_for_any_image():
    assert captions.fitting_size(4) == captions.fitting_size(32) == 14
    assert 60 <= captions.fitting_size(1024) <= 120


def test_centered_lines_have_as_much_room_on_both_sides():
    mask = captions.text_mask('wwwwwwww\nw', 20, centered=True)
    columns = np.flatnonzero(mask[len(mask) // 2 :].max(axis=0))
    assert abs(columns[0] - (mask.shape[1] - 1 - columns[-1])) <= 3 and columns[0] > 20
