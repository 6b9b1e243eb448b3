"""The review page served on this machine alone: a token in the address, no foreign origin, no large request."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from robot_lfd.errors import LfdError
from robot_lfd.review.desk import Desk
from robot_lfd.review.page import served_page
from robot_lfd.review.studio import Made
from robot_lfd.review.wishes import Conflict

HOST = "127.0.0.1"
LARGEST_BODY = 64 * 1024
LISTEN_S = 0.1  # how often it is asked whether the reader still waits for a film
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
Endpoint = Callable[[Request], Awaitable[Response]]


class Gate:
    """Lets in only who knows the token and came by this machine's own address; the rest gets 403 and nothing else."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self._token = app, token
        self._hosts = {f"{name}:{port}" for name in (HOST, "localhost")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        if reason := self._refusal(Request(scope)):
            await PlainTextResponse(reason, 403, headers=HEADERS)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, request: Request) -> str:
        if request.headers.get("host", "") not in self._hosts:  # another name for this address: DNS rebinding
            return "this page answers to its own address alone"
        origin = request.headers.get("origin")
        if origin is not None and origin not in {f"http://{h}" for h in self._hosts}:
            return "another page asked"
        if request.method != "GET" and (origin is None or request.headers.get("content-type") != "application/json"):
            return "changes come from the page itself"
        parts = request.url.path.split("/")
        if len(parts) < 3 or not secrets.compare_digest(parts[1].encode(), self._token.encode()):
            return "the address lacks its token; use the whole address that lfd review printed"
        return ""


def make_app(desk: Desk, token: str, port: int) -> ASGIApp:
    """Returns the application: page, index, curves, films, evaluations, and two ways to change something."""

    async def page(request: Request) -> Response:
        text, rules = served_page([s.path.resolve().name for s in desk.stores])
        return Response(text, media_type="text/html", headers={**HEADERS, "Content-Security-Policy": rules})

    async def index(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(desk.index), headers=HEADERS)

    async def row(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(desk.row, *_which(request)), headers=HEADERS)

    async def rows(request: Request) -> Response:
        dataset, first = request.path_params["dataset"], request.path_params["first"]
        found, onward = await run_in_threadpool(desk.measured, dataset, first)
        return JSONResponse({"rows": found, "next": onward}, headers=HEADERS)

    async def curves(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(desk.curves, *_which(request)), headers=HEADERS)

    async def clip(request: Request) -> Response:
        view = [request.query_params.get(k, "") for k in ("camera", "size")]
        return _film(*await _made(request, desk.clip, *_which(request), *view))

    async def still(request: Request) -> Response:
        return _picture(*await _made(request, desk.still, *_which(request)))

    async def cameras(request: Request) -> Response:
        _, names = await _made(request, desk.cameras, request.path_params["dataset"])
        return JSONResponse(names, headers=HEADERS)

    async def beside(request: Request) -> Response:
        return _film(*await _made(request, desk.beside, *_which(request)))

    async def evaluation(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(desk.evaluations.sheet), headers=HEADERS)

    async def film(request: Request) -> Response:
        return _film(*await _made(request, desk.film, *_evaluated(request)))

    async def end(request: Request) -> Response:
        return _picture(*await _made(request, desk.end_of_film, *_evaluated(request)))

    async def change(request: Request) -> Response:
        wish = await _small_json(request)
        wishes = wish.get("changes")
        if not isinstance(wishes, list) or not all(isinstance(w, dict) for w in wishes):
            raise LfdError("a request for changes holds a list of them")
        return await _changed(desk, wishes, lambda: desk.change(wishes))

    async def split(request: Request) -> Response:
        wish = await _small_json(request)
        return await _changed(desk, [wish], lambda: desk.split(wish))

    one, evaluated = "/{dataset:int}/{episode}", "/{run:int}/{step:int}/{seed:int}"
    routes = [
        Route(f"/{token}/", page),
        Route(f"/{token}/index.json", index),
        Route(f"/{token}/evaluation.json", _answering(evaluation)),
        Route(f"/{token}/row{one}", _answering(row)),
        Route(f"/{token}/rows/{{dataset:int}}/{{first:int}}", _answering(rows)),
        Route(f"/{token}/curves{one}", _answering(curves)),
        Route(f"/{token}/clip{one}", _answering(clip)),
        Route(f"/{token}/still{one}", _answering(still)),
        Route(f"/{token}/beside{one}", _answering(beside)),
        Route(f"/{token}/cameras/{{dataset:int}}", _answering(cameras)),
        Route(f"/{token}/film{evaluated}", _answering(film)),
        Route(f"/{token}/end{evaluated}", _answering(end)),
        Route(f"/{token}/change", _answering(change), methods=["POST"]),
        Route(f"/{token}/split", _answering(split), methods=["POST"]),
    ]
    return Gate(Starlette(routes=routes), token, port)


async def _changed(desk: Desk, wishes: list[dict[str, Any]], change: Callable[[], list[dict[str, Any]]]) -> Response:
    """Returns the new rows; what they are now, where something was changed meanwhile, as 409."""
    try:
        rows = await run_in_threadpool(change)
    except Conflict:
        rows = [await run_in_threadpool(desk.row, w["dataset"], w["id"]) for w in wishes]
        return JSONResponse({"error": "changed meanwhile, look again", "rows": rows}, 409, headers=HEADERS)
    return JSONResponse({"rows": rows}, headers=HEADERS)


async def _made(request: Request, ask: Callable[..., Future[Made]], *args: Any) -> Made:
    """Returns what the studio makes; it is not made where nobody waits for it any more. Raises LfdError."""
    future = await run_in_threadpool(ask, *args)
    made = asyncio.wrap_future(future)
    try:
        while not (await asyncio.wait({made}, timeout=LISTEN_S))[0]:
            if await request.is_disconnected():
                raise LfdError("nobody waits for this any more")
        return made.result()
    finally:
        made.cancel()


def _film(mp4: bytes, about: Any) -> Response:
    return Response(mp4, 200 if mp4 else 204, media_type="video/mp4", headers={**HEADERS, "X-About": json.dumps(about)})


def _picture(jpeg: bytes, _: Any) -> Response:
    return Response(jpeg, 200 if jpeg else 404, media_type="image/jpeg", headers=HEADERS)


def _evaluated(request: Request) -> tuple[int, int, int]:
    run, step, seed = (int(request.path_params[k]) for k in ("run", "step", "seed"))
    return run, step, seed


def _which(request: Request) -> tuple[int, str]:
    return int(request.path_params["dataset"]), str(request.path_params["episode"])


def _answering(endpoint: Endpoint) -> Endpoint:
    """Makes a user's error the answer 400 with its one line."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except LfdError as error:
            return JSONResponse({"error": str(error)}, 400, headers=HEADERS)

    return answer


async def _small_json(request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise LfdError(f"the request is larger than {LARGEST_BODY} bytes")
    try:
        wish = json.loads(body)
    except ValueError as error:
        raise LfdError("the request is no JSON") from error
    if not isinstance(wish, dict):
        raise LfdError("the request is no JSON object")
    return wish


def _of_interest(record: logging.LogRecord) -> bool:
    """Pictures that nobody waits for any more when the server ends are no news."""
    given_up = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not given_up and "graceful shutdown exceeded" not in record.getMessage()


def serve(desk: Desk, port: int, on_ready: Callable[[str], None]) -> None:
    """Serves until Ctrl+C. `on_ready` gets the address, token and all; port 0 takes a free one.

    Raises:
        LfdError: the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        raise LfdError(f"port {port} is taken; choose another with --port, or 0 for any free one") from error
    listener.listen(64)  # before the address is known: nobody is turned away
    token, actual = secrets.token_urlsafe(18), listener.getsockname()[1]
    config = uvicorn.Config(
        make_app(desk, token, actual), log_level="error", access_log=False, timeout_graceful_shutdown=2, ws="none"
    )
    logging.getLogger("uvicorn.error").addFilter(_of_interest)
    on_ready(f"http://{HOST}:{actual}/{token}/")
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        return  # uvicorn raises it again once it has ended well
    finally:
        listener.close()
