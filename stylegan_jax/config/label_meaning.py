"""What the labels of a conditional network mean: kept with it, so that its users can name classes. No JAX here."""

import dataclasses
import typing
from collections.abc import Mapping

MOST_EXAMPLES = 64  # labels that are kept where they are no classes ...
_MOST_NUMBERS = 4096  # ... but no more numbers than these


@dataclasses.dataclass(frozen=True)
class LabelMeaning:
    """What the K entries of a label mean.

    Attributes:
      names: of the K entries; None where they have none.
      classes: numbers of the classes that have images, in rising order; None where labels are no classes (one-hot).
      examples: where labels are no classes, those of the first images.
    """

    names: tuple[str, ...] | None = None
    classes: tuple[int, ...] | None = None
    examples: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self):
        # JSON turns tuples into lists, and the object has to be hashable: it is static data of a generator.
        object.__setattr__(self, 'names', None if self.names is None else tuple(map(str, self.names)))
        object.__setattr__(self, 'classes', None if self.classes is None else tuple(map(int, self.classes)))
        object.__setattr__(self, 'examples', tuple(tuple(map(float, label)) for label in self.examples))

    def to_dict(self) -> dict[str, typing.Any]:
        """Returns plain values for JSON."""
        return {
            'names': None if self.names is None else list(self.names),
            'classes': None if self.classes is None else list(self.classes),
            'examples': [list(label) for label in self.examples],
        }

    def fits(self, label_dim: int) -> bool:
        """Says whether this can be the meaning of labels of length K; files may be edited by hand."""
        return (
            (self.names is None or len(self.names) == label_dim)
            and all(0 <= number < label_dim for number in self.classes or ())
            and all(len(label) == label_dim for label in self.examples)
            and bool(self.classes or self.examples)
        )


def meaning_of(value: object, label_dim: int) -> LabelMeaning | None:
    """Returns the LabelMeaning that `LabelMeaning.to_dict` made a value of; None where it cannot be one."""
    if not isinstance(value, Mapping) or not label_dim:
        return None
    fields = {field.name for field in dataclasses.fields(LabelMeaning)}
    try:
        meaning = LabelMeaning(**{name: value[name] for name in fields & value.keys()})
        return meaning if meaning.fits(label_dim) else None
    except (TypeError, ValueError):
        return None


def num_examples(label_dim: int) -> int:
    """Returns how many labels of length K are kept as examples."""
    return max(1, min(MOST_EXAMPLES, _MOST_NUMBERS // label_dim))
