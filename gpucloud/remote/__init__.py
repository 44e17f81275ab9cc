"""The SSH edge: connections, host key proof, file sync, detached runs."""
