"""The baseline of `accept`: a Tornado handler that decodes the same JSON, stores nothing and answers.

python -m tests.bench.bare_handler PORT [checking]

With "checking" it also checks and digests the event as the daemon does.
"""

import asyncio
import sys

import msgspec
from tornado.web import Application, RequestHandler

from tests.support.parsed_event import parse_event


class Image(msgspec.Struct):
    timestamp: str
    image_b64: bytes  # msgspec decodes base64 straight to bytes


class Event(msgspec.Struct):
    callback_url: str
    images: list[Image]
    camera: str = ""
    user_id: str = ""


_decoder = msgspec.json.Decoder(Event)


class Tasks(RequestHandler):
    """Decode an event and answer it."""

    def post(self) -> None:
        event = _decoder.decode(self.request.body)
        self.write({"status": "queued", "id": str(len(event.images))})


class CheckingTasks(RequestHandler):
    """Check and digest the event as the daemon does, and answer it."""

    def post(self) -> None:
        event = parse_event(self.request.body)
        self.write({"status": "queued", "id": event.digest})


async def main(port: int, handler: type[RequestHandler]) -> None:
    Application([("/tasks/.*", handler)], log_function=lambda _: None).listen(port, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), CheckingTasks if "checking" in sys.argv else Tasks))
