"""Imports OpenVINO without its converter, for processes that are told what to import by names alone."""

from __future__ import annotations

from densecast.runtime import late_imports

late_imports.openvino()
