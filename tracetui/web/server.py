"""Serves the screen to browsers that have the token: each gets a program of its own, which ends with its page."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from html import escape
from importlib import resources
from string import Template

from aiohttp import web
from textual_serve.server import Server

from tracetui.errors import InputError
from tracetui.served import SERVED

TOKEN_LENGTH = 24
"""Bytes of a token, which is told as text of four thirds of that."""
_COOKIE = "tracetui"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""The page loads nothing from anywhere else, and stands in no other page."""
_CANT_LISTEN = {
    errno.EADDRINUSE: "is in use",
    errno.EACCES: "may not be used by this user",
    errno.EADDRNOTAVAIL: "is no address of this machine",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScreenServer(Server):
    """textual-serve's own, with a token, a page that asks nobody for a font, and no word on the terminal but ours."""

    def __init__(self, command: str, host: str, port: int, title: str, say: Callable[[str], None]) -> None:
        """command: as a shell takes it; say: tells where the page is."""
        super().__init__(command, host, port, title)
        self.token = secrets.token_urlsafe(TOKEN_LENGTH)
        self._say = say
        self._page = Template(_packaged("page.html"))

    @property
    def address(self) -> str:
        """What is opened in a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/?token={self.token}"

    def listen(self) -> None:
        """Serve until the program is told to end. Raises InputError where nothing can listen there."""
        os.environ[SERVED] = "1"  # of the programs that are started
        logging.getLogger("textual-serve").setLevel(logging.ERROR)
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            listening = socket.create_server((self.host, self.port), family=family)
        except (OSError, OverflowError) as error:
            number = error.errno if isinstance(error, OSError) else None
            problem = _CANT_LISTEN.get(number or 0, str(error))
            raise InputError(f"serve: {self.host}:{self.port} {problem}; --port and --host name another") from error
        with listening:
            self.port = listening.getsockname()[1]
            self._say(self.address)
            web.run_app(self._make_app(), sock=listening, print=None)

    async def on_startup(self, app: web.Application) -> None:
        """Nothing: where the page is has been told."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.router.add_get("/page.js", self._script)
        app.middlewares.append(self._guard)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """The token comes once, with the address, and then as a cookie; another site's page can't send that."""
        if request.path == "/" and self._is_token(request.query.get("token", "")):
            moved = web.HTTPFound("/")
            moved.set_cookie(_COOKIE, self.token, httponly=True, samesite="Lax", path="/")
            raise moved
        origin = request.headers.get("Origin")
        is_ours = origin is None or origin.partition("://")[2] == request.host
        if not (is_ours and self._is_token(request.cookies.get(_COOKIE, ""))):
            return web.Response(status=403, text="tracetui: open the whole address that it told, with its token\n")
        return await handler(request)

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self.token.encode())

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page: a terminal, and nothing that comes from elsewhere."""
        terminal = f"{'wss' if request.secure else 'ws'}://{request.host}/ws"
        page = self._page.substitute(title=escape(self.title), socket=escape(terminal))
        headers = {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
        return web.Response(text=page, content_type="text/html", headers=headers)

    async def _script(self, request: web.Request) -> web.Response:
        return web.Response(text=_packaged("page.js"), content_type="text/javascript")


def _packaged(name: str) -> str:
    return resources.files("tracetui.web").joinpath(name).read_text(encoding="utf-8")
