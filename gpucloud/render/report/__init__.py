"""Self-contained pages: the rows of a command as a table that sorts and filters, with charts beside it."""
