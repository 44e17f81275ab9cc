# pull: tell what is at $root (a folder or one file), then send what the client names as a packed tar stream.
# Variables: root, accept, git, walk_py, tar_py.
case $root in -*) root=./$root;; esac
if [ -d "$root" ]; then cd "$root" || exit 73; as=folder
elif [ -e "$root" ] || [ -h "$root" ]; then
    case $root in */*) up=${root%/*}; cd "${up:-/}" || exit 73;; esac
    as=file leaf=${root##*/}
else die "$root: No such file or directory"
fi
begin "codec=$codec walk=$walker fine=$fine python=$python as=$as archiver=$archiver"
if [ $as = folder ]; then walk . -mindepth 1; else walk "./$leaf" -maxdepth 0; fi | pack

read -r verdict || exit 75
if [ "$verdict" != send ]; then exit 0; fi
send_named
