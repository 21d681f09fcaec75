"""What `accept` is held against: a Tornado handler that decodes the same JSON, stores nothing and answers.

python -m tests.bench.bare_handler PORT
"""

import asyncio
import sys

import msgspec
from tornado.web import Application, RequestHandler


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
    """The least that an answer to an event can be."""

    def post(self) -> None:
        event = _decoder.decode(self.request.body)
        self.write({"status": "queued", "id": str(len(event.images))})


async def main(port: int) -> None:
    Application([("/tasks/.*", Tasks)], log_function=lambda _: None).listen(port, "127.0.0.1")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
