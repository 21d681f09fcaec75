"""A service in the shape of Camio's example: bottle under gunicorn, a queue in a database, a process that polls.

    PEER_DATABASE=FILE gunicorn --workers 2 tests.bench.peer_app:app        takes events
    PEER_DATABASE=FILE python -m tests.bench.peer_app                       labels them, looks every 10 s when idle

SQLite replaces MongoDB. As MongoDB does, it does not wait for the disk.
"""

import base64
import json
import os
import sqlite3
import time

import bottle
import requests

POLL_SECONDS = 10.0

bottle.BaseRequest.MEMFILE_MAX = 64 * 1024 * 1024
app = bottle.Bottle()


def queue() -> sqlite3.Connection:
    connection = sqlite3.connect(os.environ["PEER_DATABASE"], timeout=60, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("CREATE TABLE IF NOT EXISTS tasks (id INTEGER PRIMARY KEY, payload BLOB)")
    return connection


_connections: dict[int, sqlite3.Connection] = {}


def own_queue() -> sqlite3.Connection:
    """Open this worker's queue, after the fork."""
    if os.getpid() not in _connections:
        _connections[os.getpid()] = queue()
    return _connections[os.getpid()]


@app.post("/tasks/<key>")  # type: ignore[untyped-decorator]  # bottle has no type hints
def take(key: str) -> dict[str, str]:
    payload = bottle.request.json
    own_queue().execute("INSERT INTO tasks (payload) VALUES (?)", (json.dumps(payload),))
    return {"status": "queued"}


def work() -> None:
    from tests.bench.bare_labels import label, session  # the web's processes need no model

    runs, tasks = session(os.cpu_count() or 1), queue()
    while True:
        row = tasks.execute("SELECT id, payload FROM tasks ORDER BY id LIMIT 1").fetchone()
        if row is None:
            time.sleep(POLL_SECONDS)
            continue
        payload = json.loads(row[1])
        labels = {}
        for image in payload["images"]:
            label(runs, base64.b64decode(image["image_b64"]))
            labels[image["timestamp"]] = {"something": {"probability": 1.0}}
        requests.post(payload["callback_url"], json={"status": "success", "labels": labels}, timeout=30)
        tasks.execute("DELETE FROM tasks WHERE id = ?", (row[0],))


if __name__ == "__main__":
    work()
