"""How results are printed: one view for people (table, wide, markdown), its sibling for programs (json, csv).

A command describes its result once and shows it:

    view = View("ls", {"deployments": records}, records="deployments", tables=[Table(COLUMNS, records)], notes=[...])
    show(view, current().output)

`body` is the JSON object without `version` and `kind`; `records` names its list, which is what CSV prints;
`tables` and `notes` are for people. Cells are formatted by the functions of `render.text`.
"""

from gpucloud.render.view import Column, Table, View, show

__all__ = ["Column", "Table", "View", "show"]
