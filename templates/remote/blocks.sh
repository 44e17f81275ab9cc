# blocks: take the changed blocks of large files below $root. Variables: root, blocks_py.
case $root in -*) root=./$root;; esac
cd "$root" || exit 73
have python3 && python3 -c '' || die 'python3: command not found'
begin
exec python3 -c "$blocks_py"
