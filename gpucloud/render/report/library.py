"""The charting library's script, bundled from its package once and kept in the cache."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpucloud.core.errors import UsageError


def library(cache: Path) -> str:
    """Vega, Vega-Lite and Vega-Embed as one script. Raises UsageError without the extra."""
    try:
        import vl_convert
    except ImportError:
        raise UsageError("Reports need the report extra.", 'pip install "gpucloud[report]"') from None
    from importlib.metadata import version

    kept = cache / f"vega-{version('vl-convert-python')}.js"
    with suppress(OSError):
        return kept.read_text(encoding="utf-8")
    bundle: Any = vl_convert.javascript_bundle  # its stub asks for a snippet; without one it is the library alone
    script = str(bundle())
    with suppress(OSError):  # a cache that cannot be written costs time, nothing else
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = kept.with_name(f"{kept.name}.{os.getpid()}.part")
        part.write_text(script, encoding="utf-8")
        part.replace(kept)
    return script
