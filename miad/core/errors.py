"""The one error that users are meant to read."""


class MiadError(Exception):
    """Something the user can mend: bad input, a bad setting, a missing file, no network.

    The message says who, what, where and what to do; the command line prints it without a traceback
    and exits with `EXIT_CODE`.
    """

    EXIT_CODE = 2
