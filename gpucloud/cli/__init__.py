"""The command line: one file per command, words to request to view."""
