# push: tell what is in $root (made if missing), then take a stream that makes it what the client wants.
# Variables: root; leaf (set when a single file is pushed: its local name); accept, git, walk_py, untar_py.
case $root in -*) root=./$root;; esac
as=folder
if [ -z "$leaf" ]; then { [ -d "$root" ] || mkdir -p "$root"; } && cd "$root" || exit 73
elif [ -d "$root" ]; then cd "$root" || exit 73; as=into
else
    case $root in */*) up=${root%/*}; mkdir -p "${up:-/}" && cd "${up:-/}" || exit 73;; esac
    leaf=${root##*/} as=named
fi
stage=.gpucloud-stage/$$
begin "codec=$codec walk=$walker fine=$fine python=$python as=$as stage=$stage archiver=$archiver"
if [ -z "$leaf" ]; then walk . -mindepth 1; else walk "./$leaf" -maxdepth 0 2>/dev/null; fi | pack

IFS=' ' read -r verdict swaps || exit 75
if [ "$verdict" != send ]; then exit 0; fi
set +f
for old in .gpucloud-stage/[0-9]*; do # left by a push that was killed
    name=${old##*/}
    if [ -e "$old" ] && ! kill -0 "${name%%.*}" 2>/dev/null; then rm -rf "$old"; fi
done
set -f
for one in $swaps; do # a file where a folder will be, or the other way round
    path=$(printf '%b.' "$one")
    rm -rf "./${path%.}" || exit 73
done
extract "$stage"
if [ -s "$stage/gone" ]; then xargs -0 rm -f <"$stage/gone" || exit 73; fi
if [ -s "$stage/gone-folders" ]; then xargs -0 rmdir <"$stage/gone-folders" 2>/dev/null; fi
if [ -e "$stage/last" ]; then rm -rf .gpucloud-stage/parts; fi
rm -rf "$stage"
if [ -d .gpucloud-stage ]; then
    rmdir .gpucloud-stage 2>/dev/null
fi
echo ok
