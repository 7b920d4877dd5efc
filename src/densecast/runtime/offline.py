"""Switches off what other libraries report about their use over the network.

ONNX Runtime's wheels look up a host of Microsoft's and keep a device id in the user's home; importing OpenVINO starts
a process that looks up one of Google's and writes a client id; NNCF counts its use. `import densecast` calls this, so
that it holds before any of them is imported, in every process of densecast, and for a program that imports them later.
Whoever sets a variable in another way keeps it.
"""

import os
import sys

_VARIABLES = {
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime from 1.29
    "ORT_TELEMETRY_DISABLED": "1",  # and before
    "NNCF_CI": "1",  # NNCF believes that it is being tested
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
_REPORTER = "openvino_telemetry"


def switch_off_telemetry() -> None:
    """Set the variables that opt out, and keep OpenVINO from finding the module that it reports with.

    Where that module cannot be imported, OpenVINO and NNCF take a stub of their own. One that is loaded already stays.
    """
    for name, value in _VARIABLES.items():
        os.environ.setdefault(name, value)
    # What Python documents for this: an import of a name that stands for None fails like that of a missing module.
    sys.modules.setdefault(_REPORTER, None)  # type: ignore[arg-type]
