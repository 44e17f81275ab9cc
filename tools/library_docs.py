"""Writes the reference part of docs/library.md from the signatures and docstrings of gpucloud/api.py.

python -m tools.library_docs
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import FunctionType

PAGE = Path(__file__).parents[1] / "docs" / "library.md"
MARK = "<!-- From here on written by tools/library_docs.py. -->\n"


def functions() -> list[FunctionType]:
    """What the library offers, in the order of its file."""
    from gpucloud import api

    found = [one for name, one in vars(api).items() if inspect.isfunction(one) and not name.startswith("_")]
    return [one for one in found if one.__module__ == api.__name__]


def reference() -> str:
    """A heading with the signature, and the docstring, for every function."""
    parts = [MARK]
    for function in functions():
        signature = str(inspect.signature(function)).replace("'", "")
        text = inspect.getdoc(function)
        parts.append(f"\n### {function.__name__}\n\n```text\ngpucloud.{function.__name__}{signature}\n```\n\n{text}\n")
    return "".join(parts)


def page() -> str:
    """The page as it should be: what was written by hand, then the reference of today."""
    return PAGE.read_text().split(MARK)[0] + reference()


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.name}: {len(functions())} functions")
