# hash: `SHA256  PATH` NUL of each NUL-ended path of stdin. Variables: root, hash_py.
case $root in -*) root=./$root;; esac
cd "$root" || exit 73
begin
if printf x | sha256sum -z >/dev/null 2>&1; then xargs -0 sha256sum -z -- 2>/dev/null
elif have python3; then python3 -c "$hash_py"
elif have sha256sum || have shasum; then # one that ends its lines with a newline
    sum='sha256sum'; if ! have sha256sum; then sum='shasum -a 256'; fi; export sum
    xargs -0 sh -c 'for f; do s=$($sum <"$f") && printf "%s  %s\0" "${s%% *}" "$f"; done' sh 2>/dev/null
else die 'sha256sum or python3: command not found'
fi
exit 0
