"""Builds the native engine with this machine's C compiler while the package is built.

Without a compiler, or if it fails, the package is built all the same: the NumPy engine serves. PRELUDIO_NATIVE=require makes that an
error (for the wheels that are published), PRELUDIO_NATIVE=no leaves the native engine out.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class NativeEngine(BuildHookInterface[Any]):
    """Hatch calls this for each wheel, editable ones too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 (hatch names it)
        sys.path.insert(0, self.root)
        from native_build import LIBRARY, build

        LIBRARY.unlink(missing_ok=True)
        wish = os.environ.get("PRELUDIO_NATIVE", "yes")
        if wish == "no":
            return
        try:
            build(LIBRARY)
        except (OSError, subprocess.CalledProcessError) as error:
            if wish == "require":
                raise
            self.app.display_warning(f"the native engine was not built ({error}); the NumPy engine will serve")
            return
        build_data["artifacts"].append(str(LIBRARY.relative_to(self.root)))
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"  # no part of Python's own interface: one library for all versions


def platform_tag() -> str:
    if sys.platform == "darwin":  # Python may be for two processors, the library is for this one
        return f"macosx_11_0_{platform.machine()}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
