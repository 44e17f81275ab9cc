"""The program of a `local` machine: an embedded SSH server with the machine's own guards."""
