"""Every error this program raises on purpose; a name says the phase, its base what trying again would do.

`cli` turns them into exit statuses and `web.answers` into HTTP statuses, each in one place.
"""


class CamiohookdError(Exception):
    """The base of them all; its text says what was wrong, where, and what to do."""


class SetupError(CamiohookdError):
    """The program cannot start as it is set up, and starting it again will not help."""


class ConfigError(SetupError):
    """The configuration is wrong."""


class ModelError(SetupError):
    """The model's folder, description or file is wrong, or its warm-up failed."""


class LabelerError(SetupError):
    """The owner's own labeler cannot be started."""


class StateFolderError(SetupError):
    """The state folder cannot be used, or is of a format this version does not know."""


class StateFolderInUse(StateFolderError):
    """Another daemon has the state folder."""


class StateFolderBusy(CamiohookdError):
    """A command of the owner's has the state folder for a while; another try will help."""


class PayloadError(CamiohookdError):
    """A posted event that cannot be used: `code` for programs, `field` names the place."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


class PictureError(CamiohookdError):
    """One picture cannot be used; trying again will not help, the event's other pictures are not touched."""


class LabelingError(CamiohookdError):
    """The labeler failed on an event; another try may help."""


class LabelerDown(CamiohookdError):
    """The labeler cannot be asked at present; no event is to blame, and another try may help."""


class QueueError(CamiohookdError):
    """The queue did not do what it was asked for."""


class QueueFull(QueueError):
    """A bound of the queue is reached; `retry_after` is the seconds until there should be room."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreUnavailable(QueueError):
    """The disk did not take a change, and the change was not made; another try may help."""


class NoSuchTask(QueueError):
    """No task has that id."""


class WrongState(QueueError):
    """The task is not in a state that allows what was asked for."""


class CallbackNotAllowed(CamiohookdError):
    """The owner did not list where the callback URL leads; once it is listed, another try will help."""


class PrivateCallback(CallbackNotAllowed):
    """The callback URL names an address, or a host, of this machine or of a private network."""


class CamioRefused(CamiohookdError):
    """Camio's API answered with an error; the text, and `answer` alone, hold its answer as it came."""

    def __init__(self, message: str, status: int, answer: str) -> None:
        super().__init__(message)
        self.status = status
        self.answer = answer


class QueryError(CamiohookdError):
    """A `parsed_query` that Camio would not take: `offset` is the character (from 0) of what is wrong."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class MalformedUrl(CamiohookdError):
    """A URL that cannot be used; the text begins with "it" or "its" and is the reason."""


class CamioRequestError(CamiohookdError):
    """What was to be sent to Camio's API cannot be sent as it is: its address, the token, or a hook's id or text."""


class CamioUnreachable(CamiohookdError):
    """Camio's API gave no usable answer; whether it took the request is not known, another try may help."""
