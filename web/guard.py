"""Who may use the page: this machine, or those who know the token; never another page's scripts."""

import asyncio
import hashlib
import hmac
import ipaddress
import socket
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from pipeline.errors import SinkError
from web.screen import Crowded

LOCAL = {"127.0.0.1", "localhost", "::1"}
MARK = "X-Stylestream"
"""A header that other pages cannot make a browser send."""
WRONG_TOKEN_S = 0.5
"""How long a wrong token waits for its answer."""
SIGN_IN = (Path(__file__).parent / "sign_in.html").read_text(encoding="utf-8")
OPEN = {"/page.css", "/icon.svg", "/sign_in"}
"""What is served to everyone: the way in, and its looks."""
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """The rules of one page at `host`; without a token it answers to this machine's names only."""

    def __init__(self, host: str, port: int, token: str | None, given: list[str]) -> None:
        """`given`: names of a proxy before it."""
        self._token, self._cookie = token, f"stylestream-{port}"
        own = socket.gethostname()
        self._names = LOCAL if not token else LOCAL | {host, own, f"{own}.local", socket.getfqdn()}
        self._given = set(given)

    @property
    def middleware(self) -> Middleware:
        """Refuses what may not be; mistakes become one line."""

        @web.middleware
        async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._check_name(request)
            self._check_page(request)
            if self._token and request.path not in OPEN and not self._is_known(request):
                return await self._let_in(request)
            try:
                return await handler(request)
            except (ValueError, SinkError) as error:
                return web.json_response({"error": str(error)}, status=400)
            except Crowded:
                return web.json_response({"error": "too many are watching"}, status=503)

        return guarded

    def _check_name(self, request: web.Request) -> None:
        """A name that somebody else's DNS points here is not one of ours. With a token any address
        in digits is: those have no DNS."""
        try:
            name = urlsplit(f"//{request.host}").hostname or ""
        except ValueError:
            name = ""
        if name not in self._names | self._given and not (self._token and is_address(name)):
            raise web.HTTPForbidden(
                text="this page has no such name: behind a proxy, --web-name says by which it goes"
            )

    def _check_page(self, request: web.Request) -> None:
        """What changes something, or goes on talking, comes from this page or from a program."""
        talks = request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
        if request.method in ("GET", "HEAD") and not talks:
            return
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is not None and not self._is_own(origin, request):
            raise web.HTTPForbidden(text="another page may not do this")
        if not talks and request.path != "/sign_in" and request.headers.get(MARK) != "1":
            raise web.HTTPForbidden(text=f"changes need the header {MARK}: 1")

    def _is_own(self, origin: str, request: web.Request) -> bool:
        """Whether that is where this page came from; a proxy may call us by another name."""
        try:
            place = urlsplit(origin)
        except ValueError:
            return False
        return place.netloc == request.host or place.hostname in self._given

    def _is_known(self, request: web.Request) -> bool:
        assert self._token
        kind, _, word = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if kind.lower() == "bearer":
            return same(word.strip(), self._token)
        return same(request.cookies.get(self._cookie, ""), self._pass)

    @property
    def _pass(self) -> str:
        """What the cookie holds: made of the token, which it does not tell."""
        assert self._token
        return hmac.new(self._token.encode(), self._cookie.encode(), hashlib.sha256).hexdigest()

    async def _let_in(self, request: web.Request) -> web.StreamResponse:
        """By `/?token=...`, once: the token leaves the address, a cookie stays."""
        word = request.query.get("token") if request.path == "/" else None
        if word is not None:
            return await self.sign_in(word)
        if request.path == "/" and "text/html" in request.headers.get(hdrs.ACCEPT, ""):
            return web.Response(text=SIGN_IN, content_type="text/html", status=401)
        return web.json_response(
            {"error": "the token is missing or wrong: Authorization: Bearer TOKEN"}, status=401
        )

    async def sign_in(self, word: str) -> web.StreamResponse:
        """To the page when the word is the token, else back to where it is asked for."""
        if self._token and not same(word, self._token):
            await asyncio.sleep(WRONG_TOKEN_S)
            page = SIGN_IN.replace("<!-- said -->", "That is not the token.")
            return web.Response(text=page, content_type="text/html", status=401)
        answer = web.HTTPSeeOther("/")
        if self._token:
            answer.set_cookie(self._cookie, self._pass, httponly=True, samesite="Strict")
        return answer


def same(given: str, wanted: str) -> bool:
    """Whether two words are one, in a time that tells nothing."""
    return hmac.compare_digest(
        hashlib.sha256(given.encode()).digest(), hashlib.sha256(wanted.encode()).digest()
    )


def is_address(name: str) -> bool:
    """Whether a host is written in digits."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def harden(_: web.Request, response: web.StreamResponse) -> None:
    """Every answer says what browsers must not do with it."""
    response.headers.update(HEADERS)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    response.headers["Server"] = "stylestream"
