"""What can go wrong with a boxed call. Each is one class with an `outcome`, one word for results and tables."""


class Boxed(Exception):
    """A student's code did not give an answer. `outcome`: one word; `reason`: one plain sentence.

    The reason never holds anything that the student's code made up, but names, numbers of lines and types
    that were looked up in our own lists.
    """

    outcome = "died"

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


class Died(Boxed):
    """The process ended before it answered."""


class TimedOut(Boxed):
    """No answer within the time that a call has, or the time of the whole box is used up."""

    outcome = "timeout"


class OutOfMemory(Boxed):
    """It asked for more memory than it may have."""

    outcome = "memory"


class Nonsense(Boxed):
    """It answered with something that is no array, number, or tuple of these."""

    outcome = "nonsense"


class Raised(Boxed):
    """The student's code raised an exception. `kind`: the built-in class it belongs to; `line`: of the source, or 0."""

    outcome = "raised"

    def __init__(self, reason: str, kind: str, line: int):
        super().__init__(reason)
        self.kind, self.line = kind, line


class Missing(Boxed):
    """There is no such function."""

    outcome = "missing"


class NotWritten(Boxed):
    """The function is a hole yet, as it was handed out: it raises NotImplementedError."""

    outcome = "not written"


class NotLoaded(Boxed):
    """The source as a whole could not be run."""

    outcome = "not loaded"
