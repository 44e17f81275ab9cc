"""The disk edge: the home folder, the journal of events and its locks."""
