"""How results are printed: one view of a result, for people (table, wide, markdown) and for programs (json, csv).

A command describes its result once and shows it:

    view = View("ls", {"deployments": records}, COLUMNS, rows, notes=[...], empty="No deployment.")
    show(view, current().output, sys.stdout)

`view.py` has the parts, `text.py` the ways to write a value, `table.py` the layout, `machine.py` JSON and CSV.
"""
