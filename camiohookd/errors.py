"""Every error that this program raises on purpose. Its name says the phase, its base class whether a retry can help.

`cli` turns them into exit statuses and `web.server.error_responses` into HTTP statuses, each in one place.
"""


class CamiohookdError(Exception):
    """The base class. The text says what happened, where, and what to do."""


class SetupError(CamiohookdError):
    """The program cannot start with this setup. A retry does not help."""


class ConfigError(SetupError):
    """The settings are wrong."""


class ModelError(SetupError):
    """The model's folder, description or file is wrong, or its warm-up failed."""


class LabelerError(SetupError):
    """The owner's own code cannot be started."""


class StateFolderError(SetupError):
    """The state folder cannot be used, or has a format that this version does not know."""


class StateFolderInUse(StateFolderError):
    """Another daemon uses the state folder."""


class StateFolderBusy(CamiohookdError):
    """A queue command uses the state folder for a moment. A retry helps."""


class PayloadError(CamiohookdError):
    """A posted event cannot be used. `code` is for programs, `field` names the place."""

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


class PictureError(CamiohookdError):
    """One picture cannot be used. A retry does not help. The event's other pictures are still labeled."""


class LabelingError(CamiohookdError):
    """The labeler failed on an event. A retry may help."""


class LabelerEnded(LabelingError):
    """The labeler ended, or was ended, instead of answering. It may do so again."""


class LabelerDown(CamiohookdError):
    """The labeler does not work at present, for any event. A retry may help."""


class QueueError(CamiohookdError):
    """The queue refused a request."""


class QueueFull(QueueError):
    """A limit of the queue is reached. `retry_after` is the time in seconds until there should be room.

    `need` is the number of bytes that the event takes, if deleting what is kept for the owner may make room for it.
    """

    def __init__(self, message: str, retry_after: int, need: int = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.need = need


class StoreUnavailable(QueueError):
    """The disk refused a change, and the change was not made. A retry may help."""


class NoSuchTask(QueueError):
    """No task has that id."""


class WrongState(QueueError):
    """The task's state does not allow the request."""


class CallbackNotAllowed(CamiohookdError):
    """The callback URL's host is not in `allow_hosts`. A retry helps once it is listed."""


class PrivateCallback(CallbackNotAllowed):
    """The callback URL names an address or host of this machine or of a private network."""


class CamioRefused(CamiohookdError):
    """Camio's API answered with an error. `answer` is its answer, unchanged; the text quotes it."""

    def __init__(self, message: str, status: int, answer: str) -> None:
        super().__init__(message)
        self.status = status
        self.answer = answer


class QueryError(CamiohookdError):
    """Camio would refuse this `parsed_query`. `offset` is the index of the wrong character, from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class MalformedUrl(CamiohookdError):
    """A URL cannot be used. The text is the reason, and begins with "it" or "its"."""


class CamioRequestError(CamiohookdError):
    """A request to Camio's API cannot be sent: its address, the token, or a hook's id or text is wrong."""


class CamioUnreachable(CamiohookdError):
    """Camio's API gave no usable answer. It may have taken the request. A retry may help."""
