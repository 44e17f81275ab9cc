#!/bin/sh
# Run a command in the environment of environment.yml: sh with-conda.sh python train.py
# The environment lies outside the synced folder, in CONDA_FOLDER, and is made anew when environment.yml changes:
# what an update leaves behind, or a cut-off one, is in no later run. Packages that were downloaded are kept.
set -eu
place=${CONDA_FOLDER:-$HOME/gpucloud-conda}
conda=$(command -v conda || echo "$place/miniforge/bin/conda")
environment="$place/env"
mkdir -p "$place"

if [ ! -x "$conda" ]; then
    echo "with-conda: no conda here, fetching Miniforge" >&2
    file="Miniforge3-$(uname -s)-$(uname -m).sh"
    curl -fsSL -o "$place/$file" "https://github.com/conda-forge/miniforge/releases/latest/download/$file"
    rm -rf "$place/miniforge"
    sh "$place/$file" -b -p "$place/miniforge" >&2
    rm -f "$place/$file"
fi
if ! cmp -s environment.yml "$place/made-from.yml"; then
    echo "with-conda: making the environment of environment.yml" >&2
    rm -rf "$environment" "$place/made-from.yml"
    "$conda" env create -q --prefix "$environment" --file environment.yml >&2
    cp environment.yml "$place/made-from.yml"
fi
exec "$conda" run --no-capture-output --prefix "$environment" "$@"
