"""What can go wrong between us and a store."""


class StoreError(Exception):
    """The store gave no usable answer: refused, silent, cut off or without the rights.

    The message is one line, names no secret and can be shown to an operator.
    """


class QueryError(StoreError):
    """The store answered, but not this question: no right to it, too slow, not supported.

    `code` is the store's own number of the error, where it has one.
    """

    def __init__(self, message: str, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
