"""The error that users can cause."""

import collections.abc

_NO_VALUE = object()
_LONGEST = 200  # letters of an error that another library raised


class UserError(ValueError):
    """Something that the user gave cannot be used.

    A setting is named as the library's callers know it, such as 'psi' or 'data.path'. Commands show the flag that sets
    it in its place (`cli.command.fail`), so no module below them needs to know a flag.

    Attributes:
      problem: what is wrong, in words.
      field: the name of the setting that is at fault; None if it is not one setting.
      value: its value as it was given; absent in the text if there is none to show.
      remedy: what to do about it; None if the problem says so itself.
    """

    def __init__(self, problem: str, *, field: str | None = None, value: object = _NO_VALUE, remedy: str | None = None):
        super().__init__(problem)
        self.problem, self.field, self.remedy = problem, field, remedy
        # None is a value that a setting may have, so it cannot stand for a missing one.
        self.has_value, self.value = value is not _NO_VALUE, None if value is _NO_VALUE else value

    def text(self, name: str | None) -> str:
        """Returns the message with another name in the place of the setting's own."""
        setting = f'{name}={self.value}' if self.has_value else name
        message = self.problem if name is None else f'{setting}: {self.problem}'
        return message if self.remedy is None else f'{message}; {self.remedy}'

    def __str__(self):
        return self.text(self.field)


def in_one_line(error: Exception) -> str:
    """Returns what an error of any type says, with its type, in one line of at most 200 letters; for damaged files."""
    return ' '.join(f'{type(error).__name__}: {error}'.split())[:_LONGEST]


def require(condition: bool, field: str, value: object, remedy: str) -> None:
    """Raises a UserError about the value of a setting unless a condition holds."""
    if not condition:
        raise UserError(remedy, field=field, value=repr(value))


def require_choice(field: str, value: object, choices: collections.abc.Collection) -> None:
    """Raises a UserError unless the value of a setting is one of the choices."""
    require(value in choices, field, value, 'choose one of ' + ', '.join(map(repr, choices)))


def unwritable(
    field: str | None, value: object, error: OSError | str, remedy: str | None = 'choose another folder'
) -> UserError:
    """Returns the UserError about a file or folder that cannot be written.

    Args:
      field: the setting that names the file or folder; None puts its path alone before the message.
      value: its path.
      error: why it cannot be written: what the system raised, or words.
      remedy: what to do about it.
    """
    reason = getattr(error, 'strerror', None) or error
    if isinstance(error, FileExistsError):  # from making a folder
        reason = 'there is a file of that name'
    problem = f'cannot be written ({reason})'
    if field is None:
        return UserError(f'{value}: {problem}', remedy=remedy)
    return UserError(problem, field=field, value=value, remedy=remedy)
