"""Ten thousand requests leave nothing behind; a server that is made to leak is caught by the same measure."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from pathlib import Path

import malformed_requests
import numpy as np
import pytest

_LEAKY = """
import sys
from densecast.cli import main
from densecast.pipeline import Pipeline
real, kept = Pipeline.predict_together, []

def leaking(pipeline, images, **given):
    kept.append(bytearray(b"a" * 4096))
    return real(pipeline, images, **given)

Pipeline.predict_together = leaking
main()
"""
_PLAIN = "from densecast.cli import main; main()"


def slope_bytes(code: str, artifact: Path, requests: int) -> tuple[float, set[int], set[int]]:
    """Growth of memory a request after a fifth of them, and the numbers of threads and of files that were seen."""
    given = [sys.executable, "-c", code, "serve", str(artifact), "--port", "0", "-q"]
    places, sizes, threads, files = [], [], set(), set()
    with subprocess.Popen(given, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().rsplit(" ", 1)[1].strip()
        connection = http.client.HTTPConnection(url.split("/")[2], timeout=30)
        picture = malformed_requests.jpeg()
        own = Path(f"/proc/{process.pid}")
        try:
            for number in range(requests):
                connection.request("POST", "/predict", picture, {"Content-Type": "image/jpeg"})
                reply = connection.getresponse()
                assert reply.status == 200 and reply.read()
                if number >= requests // 5 and number % (requests // 50) == 0:
                    places.append(number)
                    sizes.append(int((own / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
                    threads.add(len(list((own / "task").iterdir())))
                    files.add(len(list((own / "fd").iterdir())))
        finally:
            connection.close()
            process.kill()
    return float(np.polyfit(places, sizes, 1)[0]), threads, files


@pytest.mark.slow
def test_nothing_is_left_of_ten_thousand_requests(artifacts: Path) -> None:
    slope, threads, files = slope_bytes(_PLAIN, artifacts / "built", 10_000)
    assert slope <= 1024, f"{slope:.0f} bytes a request"
    assert max(threads) - min(threads) <= 1 and max(files) - min(files) <= 1


@pytest.mark.slow
def test_a_leak_of_four_kilobytes_a_request_is_seen(artifacts: Path) -> None:
    slope, _, _ = slope_bytes(_LEAKY, artifacts / "built", 3000)
    assert slope > 2048, f"{slope:.0f} bytes a request"
