# part: one of several streams of a push that go over connections of their own.
# Variables: root, stage, accept, untar_py.
case $root in -*) root=./$root;; esac
cd "$root" || exit 73
begin "codec=$codec"
extract "$stage"
rm -rf "$stage"
echo ok
