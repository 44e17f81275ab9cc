"""What stays at home: `.gitignore`, `.gpucloudignore` and `--exclude`, with git's meaning of a pattern.

Strongest first: excludes, `.gpucloudignore` (the deepest folder first), `.gitignore` (likewise, up to the top of
the repository), `.git/info/exclude`. Within one file the last matching line wins; `!` takes a name back in, but
not from below a folder that is out.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from gpucloud.core.errors import UsageError

# pathspec's expressions also match everything below a match; the walk prunes by itself, so ours end at the name.
OPEN_END, OPEN_FOLDER_END = "(?:(?P<ps_d>/)|$)", "(?P<ps_d>/)"
GITIGNORE, GPUCLOUDIGNORE = ".gitignore", ".gpucloudignore"


class Patterns:
    """The patterns of one ignore file, in order, with a quick test for "none of them"."""

    def __init__(self, lines: Iterable[str], source: str) -> None:
        self._ordered: list[tuple[re.Pattern[str], bool, bool]] = []  # expression, by name only, takes out
        quick: dict[bool, list[str]] = {True: [], False: []}
        for text, by_name, takes_out in _expressions(lines, source):
            self._ordered.insert(0, (re.compile(text, re.DOTALL), by_name, takes_out))
            quick[by_name].append(text)
        self._name = _any_of(quick[True])
        self._path = _any_of(quick[False])

    def __bool__(self) -> bool:
        return bool(self._ordered)

    def verdict(self, path: str, name: str) -> bool | None:
        """True: out, False: back in, None: nothing said. Folders end in "/"."""
        if not (self._name and self._name.match(name)) and not (self._path and self._path.match(path)):
            return None
        for expression, by_name, takes_out in self._ordered:
            if expression.match(name if by_name else path):
                return takes_out
        return None


def _any_of(expressions: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{one})" for one in expressions), re.DOTALL) if expressions else None


def _expressions(lines: Iterable[str], source: str) -> list[tuple[str, bool, bool]]:
    """(regular expression, whether the bare name decides, whether it takes out) of each line that is a pattern."""
    import pathspec

    found = []
    for line in lines:
        try:
            patterns = list(pathspec.GitIgnoreSpec.from_lines([line]).patterns)
        except ValueError as error:
            if source:  # git skips a line it cannot read; a word of the command line is worth an error
                raise UsageError(f"The pattern {line!r} of {source} cannot be read: {error}.") from error
            continue
        bare = line.strip().lstrip("!").rstrip("/")
        for one in patterns:
            if one.include is None or one.regex is None:
                continue
            text = one.regex.pattern
            if text.endswith(OPEN_END):
                text = text[: -len(OPEN_END)] + "/?$"
            elif text.endswith(OPEN_FOLDER_END):
                text = text[: -len(OPEN_FOLDER_END)] + "/$"
            if not text.startswith("^"):
                text = "^.*?" + text
            found.append((text.replace("(?P<ps_d>", "(?:"), "/" not in bare, one.include))
    return found


def read_patterns(path: Path) -> Patterns:
    """The patterns of a file; none when it is not there."""
    with contextlib.suppress(OSError):
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        return Patterns(text.removeprefix("\ufeff").splitlines(), "")
    return Patterns([], "")


class Ignores:
    """The rules of one tree. Ask about a name only after `enter` was told its folder (or an ancestor, when the
    folder is not there: what is only on the other side has no ignore files of its own)."""

    def __init__(self, root: Path, exclude: Sequence[str] = (), *, files: bool = True) -> None:
        self._root = root
        self._files = files
        self._exclude = Patterns(exclude, "--exclude") if exclude else None
        self._levels: dict[str, dict[str, Patterns]] = {GPUCLOUDIGNORE: {}, GITIGNORE: {}}
        self._above: list[tuple[str, Patterns]] = _above(root) if files else []
        self._any = bool(self._exclude or self._above)
        self._out: dict[str, bool] = {"": False}

    def enter(self, folder: str, names: Collection[str]) -> None:
        """Read the ignore files of `folder`, in which these names are."""
        if not self._files:
            return
        for name, levels in self._levels.items():
            if name in names and (patterns := read_patterns(self._root / folder / name)):
                levels[folder] = patterns
                self._any = True

    def ignored(self, path: str, is_folder: bool) -> bool:
        """Whether the rules take out `path`, whose folder is known to be in."""
        if not self._any:
            return False
        name = path.rpartition("/")[2]
        shown, name = (path + "/", name + "/") if is_folder else (path, name)
        if self._exclude and (verdict := self._exclude.verdict(shown, name)) is not None:
            return verdict
        for levels in self._levels.values():
            if levels and (verdict := self._from_levels(levels, shown, name)) is not None:
                return verdict
        for prefix, patterns in self._above:
            if (verdict := patterns.verdict(prefix + shown, name)) is not None:
                return verdict
        return False

    def _from_levels(self, levels: dict[str, Patterns], path: str, name: str) -> bool | None:
        folder = path.rstrip("/")
        while folder:
            folder = folder.rpartition("/")[0]
            patterns = levels.get(folder)
            if patterns is None:
                continue
            verdict = patterns.verdict(path[len(folder) + 1 :] if folder else path, name)
            if verdict is not None:
                return verdict
        return None

    def out(self, path: str, is_folder: bool) -> bool:
        """Whether `path` or a folder above it is taken out: for names that no walk has led to."""
        if not is_folder:
            return self._folder_out(path.rpartition("/")[0]) or self.ignored(path, False)
        return self._folder_out(path)

    def _folder_out(self, folder: str) -> bool:
        known = self._out.get(folder)
        if known is None:
            known = self._folder_out(folder.rpartition("/")[0]) or self.ignored(folder, True)
            self._out[folder] = known
        return known


def _above(root: Path) -> list[tuple[str, Patterns]]:
    """The ignore files between `root` and the top of its repository, nearest first, with root's path below each."""
    found: list[tuple[str, Patterns]] = []
    prefix = ""
    top = root.resolve()
    while not (top / ".git").exists():
        if top.parent == top:
            return []  # no repository: what lies above is nobody's rule
        prefix = f"{top.name}/{prefix}"
        top = top.parent
        if patterns := read_patterns(top / GITIGNORE):
            found.append((prefix, patterns))
    if patterns := read_patterns(top / ".git" / "info" / "exclude"):
        found.append((prefix, patterns))
    return found
