"""Fetches what is behind an http(s) URL into a file, within limits of size, time and redirects."""

from __future__ import annotations

import http.client
import mimetypes
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any

from densecast.errors import BadInputError, MissingFileError
from densecast.imaging.header import MAX_FILE_BYTES

MAX_REDIRECTS = 5
MAX_SECONDS = 300.0
_ANSWER_S = 20.0
_CHUNK = 1 << 18


def fetch(url: str, path: Path, most_bytes: int = MAX_FILE_BYTES, most_seconds: float = MAX_SECONDS) -> str:
    """Write what is behind an http(s) URL to a file; returns its media type, empty if the server names none.

    Raises:
        MissingFileError: nothing is there.
        BadInputError: it is larger or slower than allowed, redirected too often or elsewhere, or cannot be reached.
    """
    end = time.monotonic() + most_seconds
    opener = urllib.request.build_opener(_FewRedirects())
    request = urllib.request.Request(url, headers={"User-Agent": "densecast"})
    try:
        with opener.open(request, timeout=_ANSWER_S) as answer, path.open("wb") as file:
            promised = answer.headers.get("Content-Length", "")
            if promised.isdigit() and int(promised) > most_bytes:
                raise BadInputError(f"{url} is {int(promised) >> 20} MiB large; {most_bytes >> 20} MiB are the most.")
            got = _copied(answer, file, url, most_bytes, end, most_seconds)
            if promised.isdigit() and got < int(promised):
                raise BadInputError(f"{url}: {got} of {promised} bytes have arrived. Try again.")
            return str(answer.headers.get_content_type() if answer.headers.get("Content-Type") else "")
    except urllib.error.HTTPError as error:
        error.close()
        kind = MissingFileError if error.code in (404, 410) else BadInputError
        raise kind(f"{url} cannot be read: the server answers {error.code} {error.reason}.") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise BadInputError(f"{url} cannot be read ({str(reason) or type(error).__name__}).") from None


def suffix_of(media_type: str) -> str:
    """What files of that media type end in, with the dot; empty for an unknown one."""
    return mimetypes.guess_extension(media_type) or ""


def _copied(answer: Any, file: IO[bytes], url: str, most_bytes: int, end: float, most_seconds: float) -> int:
    got = 0
    while chunk := answer.read1(_CHUNK):
        got += len(chunk)
        if got > most_bytes:
            raise BadInputError(f"{url} is larger than {most_bytes >> 20} MiB, which are the most.")
        if time.monotonic() > end:
            raise BadInputError(f"{url} takes longer than {most_seconds:g} s. Download it first.")
        file.write(chunk)
    return got


class _FewRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a few redirects, to http and https alone, and from https to https alone."""

    max_redirections = MAX_REDIRECTS
    max_repeats = MAX_REDIRECTS

    def redirect_request(
        self, request: urllib.request.Request, file: Any, code: int, message: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The next request; refused if it leads elsewhere."""
        allowed = ("https:",) if request.type == "https" else ("https:", "http:")
        if not newurl.lower().startswith(allowed):
            file.close()
            raise BadInputError(f"{request.full_url} leads to {newurl}, where nothing is fetched from.")
        return super().redirect_request(request, file, code, message, headers, newurl)
