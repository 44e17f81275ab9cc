"""What `push` and `pull` share: where a path on the machine starts, and the table of what was copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpucloud.render.view import Column

if TYPE_CHECKING:
    from gpucloud.flows.machines import Node
    from gpucloud.remote.sync import SyncReport

COLUMNS = (
    Column("rank", "Node", right=True),
    Column("files", "Files", right=True),
    Column("bytes", "Bytes", right=True, write=lambda value: f"{value:,}"),
    Column("deleted", "Deleted", right=True),
    Column("same", "Unchanged", right=True),
    Column("wire_bytes", "Sent bytes", right=True, write=lambda value: f"{value:,}"),
    Column("changed_while_read", "Changed while read"),
    Column("skipped", "Skipped"),
)


def remote_path(node: Node, path: str) -> str:
    """Absolute and `~/` paths as they are (the login home is where relative ones start), others in the work folder."""
    from gpucloud.flows.session import work_dir

    if path.startswith("/"):
        return path
    if path == "~" or path.startswith("~/"):
        return path[2:] or "."
    inside = path.strip("/")
    return work_dir(node) if inside in ("", ".") else f"{work_dir(node)}/{inside}"


def report_json(rank: int, report: SyncReport) -> dict[str, Any]:
    """What was copied, as JSON."""
    return {
        "rank": rank,
        "files": report.files,
        "bytes": report.bytes,
        "deleted": report.deleted,
        "same": report.same,
        "wire_bytes": report.wire_bytes,
        "changed_while_read": list(report.changed_while_read),
        "skipped": list(report.skipped),
    }
