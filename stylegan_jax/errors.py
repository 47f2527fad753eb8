"""The error that users can cause."""


class UserError(ValueError):
    """Something that the user gave cannot be used; the message says what, where, which value, what to do."""


def require(condition, field, value, remedy):
    """Raises a UserError about the value of a setting unless a condition holds."""
    if not condition:
        raise UserError(f'{field}={value!r}: {remedy}')


def require_choice(field, value, choices):
    """Raises a UserError unless a setting has one of some values."""
    require(value in choices, field, value, 'choose one of ' + ', '.join(map(repr, choices)))
