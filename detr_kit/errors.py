"""The error that a user can mend: bad data, a bad config, a wrong file."""


class InputError(ValueError):
    """Something the user gave cannot be used; the message names the file, field, value and remedy.

    The command line prints the message alone, without a traceback.
    """
