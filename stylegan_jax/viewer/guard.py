"""Who may ask the server: pages of its own, on this machine, or elsewhere with a token; and how much they may send.

A page of another site can make a browser send requests to this machine. Such a request has a foreign Origin, or, where
a name was pointed at this machine (DNS rebinding), a foreign Host. Both are refused.
"""

import collections.abc
import hmac
import io
import ipaddress
import secrets
import socket
import urllib.parse

import numpy as np
import PIL.Image
from aiohttp import web

from stylegan_jax.data import channels, fitting, pixels
from stylegan_jax.data.sources import pictures
from stylegan_jax.errors import UserError

MOST_UPLOADED = 32 * 2**20  # bytes of a photo
MOST_SAID = 2**16  # bytes of any other request
_MOST_PIXELS = 64_000_000  # of a photo
_COOKIE = 'stylegan_jax_token'
_HEADERS = {
    # The page loads nothing from elsewhere, and no other page may frame it or read from it.
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Referrer-Policy': 'no-referrer',
    'X-Content-Type-Options': 'nosniff',
    'Cache-Control': 'no-store',
}


def is_loopback(host: str) -> bool:
    """Tells whether a host is this machine alone."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host.strip('[]')).is_loopback
    except ValueError:
        return False


class Guard:
    """Decides about requests.

    Attributes:
      token: what pages elsewhere have to know; None where the server is for this machine alone.
    """

    def __init__(self, host: str):
        """Makes a token, unless only this machine can reach the host.

        Args:
          host: the address that the server listens at.
        """
        self.token = None if is_loopback(host) else secrets.token_urlsafe(24)
        names = ['localhost', '127.0.0.1', '::1', host]
        if self.token:
            names += [socket.gethostname(), socket.getfqdn()]
        self._hosts = {name.lower() for name in names}  # as `urllib.parse` returns the name of a request's host

    def refusal(self, request: web.BaseRequest) -> str | None:
        """Returns why a request is refused, in words; None where it may pass, its token aside."""
        host, origin = request.headers.get('Host', ''), request.headers.get('Origin')
        try:
            name = urllib.parse.urlsplit(f'//{host}').hostname or ''
            place = None if origin is None else urllib.parse.urlsplit(origin).netloc
        except ValueError:
            return 'the Host or the Origin of the request is no address'
        local = request.transport.get_extra_info('sockname') if request.transport else None
        if name not in self._hosts and not (self.token and local and name == local[0]):
            return 'this address is not one of the viewer'
        if origin is not None and place != host:
            return 'a page of another site may not ask the viewer'
        # Browsers always name the origin of a socket and of a POST.
        if origin is None and (request.method != 'GET' or 'Upgrade' in request.headers):
            return 'a request without an Origin'
        return None

    @web.middleware
    async def middleware(self, request: web.Request, handler: collections.abc.Callable) -> web.StreamResponse:
        """Lets a request pass, or answers it with 403; a token in the address becomes a cookie."""
        if problem := self.refusal(request):
            return web.Response(status=403, text=problem, headers=_HEADERS)
        if self.token:
            if _same(request.query.get('token', ''), self.token):
                # The token leaves the address, so that it is not in links that are handed on.
                answer = web.Response(status=303, headers=_HEADERS | {'Location': '/'})
                answer.set_cookie(_cookie(request), self.token, httponly=True, samesite='Strict')
                return answer
            if not _same(request.cookies.get(_cookie(request), ''), self.token):
                text = 'open the address that the viewer printed, with its token'
                return web.Response(status=403, text=text, headers=_HEADERS)
        response = await handler(request)
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response


def _cookie(request):
    """The name of the cookie of this viewer: cookies are those of all ports of a machine."""
    return f'{_COOKIE}_{request.url.port}'


def _same(given, token):
    return hmac.compare_digest(given.encode('utf-8', 'replace'), token.encode())


def fitted_photo(content: bytes, box: tuple[float, float, float, float], shape: tuple[int, int, int]) -> np.ndarray:
    """Decodes a photo as data sources do, and fits a part of it to a network.

    Args:
      content: encoded.
      box: (left, top, right, bottom) of the part, as shares of the upright photo.
      shape: (H, W, C) of the network's images.

    Returns:
      uint8 [H, W, C].

    Raises:
      UserError: it is no picture, or too large or too small.
    """
    try:
        height, width = pictures.upright_size(io.BytesIO(content))
        if height * width > _MOST_PIXELS:
            raise UserError(f'a photo of {width}x{height} has more than {_MOST_PIXELS // 10**6} megapixels')
        picture = pictures.decode(content)
        return pixels.to_uint8(fitting.fitted(_cropped(picture, box), shape, fit='crop', resize_filter='box'))
    except fitting.Unusable as error:
        raise UserError(f'this photo cannot be used: {error}') from None


def _cropped(picture: PIL.Image.Image, box):
    left, top, right, bottom = box
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise UserError('the crop lies outside of the photo')
    if box == (0, 0, 1, 1):
        return picture
    width, height = picture.size
    left, top = int(left * width), int(top * height)
    right, bottom = max(left + 1, round(right * width)), max(top + 1, round(bottom * height))
    return channels.crop(picture, (left, top, right, bottom))
