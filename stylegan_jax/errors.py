"""The error that users can cause."""


class UserError(ValueError):
    """Something that the user gave cannot be used; the message says what, where, which value, what to do."""
