"""The OpenAPI description of the server."""

from __future__ import annotations

from typing import Any

from densecast.spec.serve_options import ServeOptions


def document(options: ServeOptions) -> dict[str, Any]:
    """The description, as `/openapi.json` has it."""
    return {"openapi": "3.1.0", "info": {"title": "densecast", "version": "1"}, "paths": {}}
