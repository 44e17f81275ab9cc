# What every script begins with. Messages of the programs are in English, so that the client can explain them.
LC_ALL=C; export LC_ALL; unset CDPATH TAR_OPTIONS; set -f
trap '' HUP
die() { printf 'gpucloud: %s\n' "$1" >&2; exit 73; }
have() { command -v "$1" >/dev/null 2>&1; }
begin() { printf '\ngpucloud:start %s\n' "$*"; }
