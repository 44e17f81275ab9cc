# fetch: send what the client names, as one of several streams of a pull.
# Variables: root, accept, tar_py.
case $root in -*) root=./$root;; esac
cd "$root" || exit 73
begin "codec=$codec"
send_named
