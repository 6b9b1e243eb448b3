"""The one exception that the command line turns into a plain line and exit code 1."""


class LfdError(Exception):
    """Something the user can mend: the message names the thing, what was found, what was expected, what to do."""


class Diverged(LfdError):
    """A training whose numbers are no longer finite: a result of that run, not a fault in how it was called."""
