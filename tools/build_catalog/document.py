"""The tables of docs/data.md that follow from the data: written between markers, so that they are always true."""

from __future__ import annotations

from pathlib import Path

from tools.build_catalog.ledger import Ledger

MARKS = {
    name: (f"<!-- {name}: made by tools/build_catalog -->", f"<!-- end of {name} -->") for name in ("files", "tables")
}


def refresh(page: Path, ledger: Ledger, counts: dict[str, int]) -> None:
    """Replace what stands between the markers of the page."""
    text = page.read_text(encoding="utf-8")
    for name, table in (("files", _files(counts)), ("tables", _tables(ledger))):
        begin, end = MARKS[name]
        before, rest = text.split(begin, 1)
        text = f"{before}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"
    page.write_text(text, encoding="utf-8")


def _files(counts: dict[str, int]) -> str:
    lines = ["| catalog file | rows |", "|---|---:|"]
    lines += [f"| `{file}` | {count} |" for file, count in sorted(counts.items())]
    return "\n".join(lines)


def _tables(ledger: Ledger) -> str:
    lines = ["| source table | rows | used | became | left out, and why |", "|---|---:|---:|---|---|"]
    for table in sorted({*ledger.rows_read, *(name for name, _ in ledger.rows_made)}):
        counts = f"{ledger.rows_read[table]} | {ledger.rows_used[table]}"
        lines.append(f"| `{table}` | {counts} | {_made(ledger, table)} | {_left(ledger, table)} |")
    return "\n".join(lines)


def _made(ledger: Ledger, table: str) -> str:
    made = sorted((file, count) for (name, file), count in ledger.rows_made.items() if name == table)
    if not made:
        return "part of other rows" if ledger.rows_used[table] else "nothing"
    return "<br>".join(f"{count} in `{file}`" for file, count in made)


def _left(ledger: Ledger, table: str) -> str:
    left = sorted((reason, count) for (name, reason), count in ledger.left_out.items() if name == table)
    return "<br>".join(f"{count}: {reason}" for reason, count in left) or "none"
