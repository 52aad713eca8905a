"""The contract between the workstation and the box: bundle, runner, scoring, verdict, store.

Importing `openvino` starts its telemetry package, which writes to the home folder and calls home.
Nothing leaves a plant, so the package is masked here, before anything of ours imports openvino;
openvino has a stub for that case.
"""

import sys

if "openvino_telemetry" not in sys.modules:
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

__version__ = "0.1.0"
