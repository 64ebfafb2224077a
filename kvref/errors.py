"""What goes wrong, by name.

A *caller's mistake* is raised by a manager before any state changes. A *refused configuration* is
raised at construction. Everything a person on the command line can mend is a `UserError`: one line
that says what, where, and what to do.
"""


class KvrefError(Exception):
    """The base of all errors that kvref raises on purpose."""


class UserError(KvrefError):
    """Bad input, told in one line; the command line ends with exit code 2."""


class ConfigurationError(KvrefError, ValueError):
    """A configuration that no manager can honour [CFG-3, RETAIN-2, Q-23, Q-49]."""


class UnpicturableError(UserError):
    """A manager whose state is not kept as it can be pictured."""


class CallerError(KvrefError, ValueError):
    """A call that a legal scheduler does not make. The manager's state is as before."""


class NothingToAllocateError(CallerError):
    """An allocation of no new and no external tokens [ALLOC-1, ERR-8]."""


class ForeignHitError(CallerError):
    """Hit blocks that do not fit the request: it holds a table already, or caching is off [ALLOC-15]."""


class UnhashedTokensError(CallerError):
    """More blocks are to be cached than the request has hashes, or than its table has entries [CACHE-2]."""


class UnknownBlockError(CallerError):
    """A block id outside the pool [POOL-8, ERR-7]."""


class NegativeCountError(CallerError):
    """A count of tokens or blocks below zero."""


class WrongAnswerError(KvrefError):
    """What a target did instead of giving an answer that can be right: `what`, and both sides in words."""

    def __init__(self, what: str, expected: str, actual: str) -> None:
        super().__init__(f"{what}: {actual}")
        self.what = what
        self.expected = expected
        self.actual = actual
