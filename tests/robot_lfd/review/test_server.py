"""The server of the review page: what it refuses, and the process that simulates for it."""

import json
import os
import re
import signal
import socket
import threading
import urllib.error
import urllib.request
from concurrent.futures import Future

import pytest

from robot_lfd import cli
from robot_lfd.config import ReviewConfig
from robot_lfd.demos.store import DemoStore
from robot_lfd.errors import LfdError
from robot_lfd.review.desk import Desk
from robot_lfd.review.studio import STILL, Studio
from tests.robot_lfd.record.conftest import wait_until

pytestmark = pytest.mark.xdist_group("review")


def ask(url, **kwargs):
    data = kwargs.pop("data", None)
    request = urllib.request.Request(
        url, data=data, headers=kwargs.pop("headers", {}), method=kwargs.pop("method", None)
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_foreign_pages_wrong_tokens_traversal_and_large_requests_are_refused(served):
    base, episode = served.url, DemoStore.open(served.data / "reach").ids()[0]
    origin, token = re.match(r"(http://[^/]+)/([^/]+)/", base).groups()
    change = f"{base}change"
    mine = {"Origin": origin, "Content-Type": "application/json"}
    assert ask(base)[0] == 200 and ask(f"{base}index.json")[0] == 200
    assert ask(origin)[0] == ask(f"{origin}/wrong/index.json")[0] == ask(f"{origin}/{token[:-1]}/")[0] == 403
    assert ask(base, headers={"Host": "evil.example"})[0] == 403
    assert ask(f"{base}index.json", headers={"Origin": "http://evil.example"})[0] == 403
    body = json.dumps({"changes": [{"dataset": 0, "id": episode, "note": "x", "revision": "?"}]}).encode()
    odd = body.replace(b'"note": "x"', b'"success": "yes"')
    assert ask(change, data=body, headers={"Content-Type": "application/json"})[0] == 403
    assert ask(change, data=body, headers={**mine, "Origin": "null"})[0] == 403
    assert ask(change, data=body, headers={**mine, "Content-Type": "text/plain"})[0] == 403
    assert ask(change, data=body, headers=mine)[0] == 409
    assert ask(change, data=b"x" * 200_000, headers=mine)[0] == 400
    assert ask(change, data=b"[]", headers=mine)[0] == ask(change, data=odd, headers=mine)[0] == 400
    assert ask(change, data=b'{"changes": [{"dataset": 0, "id": "../.."}]}', headers=mine)[0] == 400
    assert ask(f"{base}split", data=body, headers={"Content-Type": "application/json"})[0] == 403
    assert ask(f"{base}clip/0/{episode}?size=99999")[0] == ask(f"{base}film/0/1/2")[0] == 400
    assert ask(f"{base}clip/0/..%2F..%2Flabels.jsonl")[0] in (400, 404)
    assert ask(f"{base}still/0/../../../../etc/passwd")[0] in (400, 403, 404)
    assert ask(f"{base}curves/9/{episode}")[0] == 400
    assert not DemoStore.open(served.data / "reach").info(episode).note


def test_a_taken_port_is_one_plain_line(served, recorded, capsys):
    port = re.search(r":(\d+)/", served.url).group(1)
    assert cli.call(["review", str(recorded / "reach"), "--port", port]) == 1
    err = capsys.readouterr().err
    assert f"port {port} is taken" in err and err.count("\n") == 1


def test_what_a_reader_has_stopped_waiting_for_is_given_up(served):
    future = Future()
    served.desk.clip = lambda *_: future
    episode = served.desk.stores[0].ids()[0]
    with socket.create_connection(("127.0.0.1", int(re.search(r":(\d+)/", served.url).group(1)))) as reader:
        host = served.url.split("/")[2]
        reader.sendall(f"GET /token/clip/0/{episode} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    wait_until(future.cancelled, what="the film to be given up")


def test_films_go_before_stills_and_what_was_given_up_is_not_made(recorded, monkeypatch):
    made, go = [], threading.Event()

    def make(self, job):
        go.wait(10)
        made.append(job)
        return b"", None

    monkeypatch.setattr(Studio, "_done", make)
    studio = Studio(ReviewConfig(datasets=(recorded / "reach",)))
    first = studio.ask("still", 0, rank=STILL)
    wait_until(first.running, what="the first job")
    futures = [studio.ask("still", 1, rank=STILL), studio.ask("clip", 2), studio.ask("clip", 3), studio.ask("clip", 4)]
    assert futures[2].cancel()
    go.set()
    assert futures[0].result(10) == (b"", None)
    assert made == [["still", 0], ["clip", 2], ["clip", 4], ["still", 1]]
    studio.close()
    with pytest.raises(LfdError, match="is ending"):
        studio.ask("clip", 5).result(10)


def test_a_simulator_that_dies_is_one_plain_line_and_the_next_question_starts_it_anew(recorded):
    desk = Desk([DemoStore.open(recorded / "reach")], ReviewConfig(datasets=(recorded / "reach",), size_px=64))
    try:
        _, names = desk.cameras(0).result(60)
        assert "front" in names
        os.kill(desk._studio._process.pid, signal.SIGKILL)
        with pytest.raises(LfdError, match="ended unexpectedly"):
            desk.cameras(0).result(60)
        assert desk.cameras(0).result(60)[1] == names
        mp4, note = desk.clip(0, desk.stores[0].ids()[2], "nowhere", "64").result(60)
        assert mp4 == b"" and note.startswith("no pictures: ")
        process = desk._studio._process
    finally:
        desk.close()
    wait_until(lambda: not process.is_alive(), what="the process to end with its desk")
