# look: everything this host knows: its GPUs, all leases, and this account's deployments. Changes nothing.
begin
echo "now $now $me $user"
driver
echo "smi $smi"
if [ $smi = yes ]; then
    printf '%s\n' "$shown" | while IFS= read -r row; do printf 'shown %s\n' "$row"; done
    running | while IFS= read -r row; do
        pid=${row##*,}; pid=${pid##* }
        case $pid in '' | *[!0-9]*) continue;; esac
        owner=$(ps -o user= -p "$pid" 2>/dev/null)
        printf '%s\n' "app ${row%%,*} $pid ${owner:--}"
    done
elif [ $smi = broken ]; then
    IFS=$newline; set -- $shown; IFS=$blanks
    printf '%s\n' "smi-says ${1-}"
fi
scan
tops
set +f
for one in "$PWD"/gpucloud/*; do
    if [ ! -f "$one/lease" ] || [ -L "$one" ]; then continue; fi
    read -r token_there payload_there <"$one/lease"
    whole=no gpus_there=
    if [ -e "$one/gpus" ]; then whole=yes; read -r gpus_there <"$one/gpus"; fi
    first "$one/until"; until=$word
    first "$one/ended"; ended=$word
    printf '%s\n' "record ${one##*/} $whole $until $ended $token_there ${payload_there:--} $gpus_there"
done
echo "done"
