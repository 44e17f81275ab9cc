# free: end this deployment's runs, give its GPUs back, remove its folder. Nothing else on the host is touched.
begin
if [ -L "$base" ]; then fail home "$base is a symbolic link, which is not trusted"; fi
stop_watch
end_runs TERM 3 || fail runs "processes of $id do not end:$groups$strays"
give_back
if [ -d "$base" ]; then
    rm -rf "$base" 2>/dev/null || { # folders without write permission
        chmod -R u+rwX "$base" 2>/dev/null
        why=$(rm -rf "$base" 2>&1) || fail home "$why"
    }
fi
rmdir "$PWD/gpucloud" 2>/dev/null
echo "done"
