"""The one exception that means "the user can mend this".

Whoever finds bad input (a file, an option, a run folder) raises UserError with one
sentence: what was expected, what came, where, and what to do. The command line prints
that sentence and ends with exit code 2; from Python it is an ordinary exception.
"""


class UserError(Exception):
    """Input that its user can correct; the message is one complete, actionable sentence."""
