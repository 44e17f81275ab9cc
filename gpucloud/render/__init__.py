"""The view edge: the same result as a table, JSON, CSV or Markdown."""
