#!/bin/sh
# proof.sh - a machine signs its own SSH host key with the one-time token of its boot data.
#
#   proof.sh DEPLOYMENT INSTANCE TOKEN_FILE PROOF_FILE [HOST_KEY_PUB]
#
# TOKEN_FILE holds 64 hex digits and is deleted. PROOF_FILE gets the line `gpucloud-proof-1 HMAC`, where HMAC is
# HMAC-SHA256 (RFC 2104) under those 32 bytes over five lines: 1, DEPLOYMENT, INSTANCE, key type, key.
# The token is never a word of a command: only the shell's own read, printf and arithmetic touch it.
# Needs: a POSIX sh whose printf is built in (dash, bash, busybox ash, ksh), and openssl or sha256sum.
set -eu
umask 022
deployment=$1 instance=$2 token_file=$3 proof_file=$4 public=${5:-/etc/ssh/ssh_host_ed25519_key.pub}

# stdin -> hex digits
sha256() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum; else openssl dgst -sha256 -r; fi |
        { read -r digits rest && printf %s "$digits"; }
}
# hex digits and a byte -> `\ooo` of each pair of digits XOR that byte
octal() {
    digits=$1 mask=$2 out=
    while [ -n "$digits" ]; do
        tail=${digits#??}
        pair=${digits%"$tail"}
        value=$((0x$pair ^ mask))
        out="$out\\$((value / 64))$((value / 8 % 8))$((value % 8))"
        digits=$tail
    done
    printf %s "$out"
}

read -r token <"$token_file"
case $token in *[!0-9a-f]*) exit 64 ;; esac
[ ${#token} = 64 ] || exit 64
read -r type key rest <"$public"
[ "$type" = ssh-ed25519 ] || exit 65

# to SHA-256's block of 64 bytes; then its inner and outer pad, 0x36 and 0x5c
padded=${token}0000000000000000000000000000000000000000000000000000000000000000
inner=$({
    printf "$(octal "$padded" 54)"
    printf '%s\n' 1 "$deployment" "$instance" "$type" "$key"
} | sha256)
outer=$({
    printf "$(octal "$padded" 92)"
    printf "$(octal "$inner" 0)"
} | sha256)
mkdir -p "$(dirname "$proof_file")"
printf 'gpucloud-proof-1 %s\n' "$outer" >"$proof_file.new"
mv "$proof_file.new" "$proof_file"
rm -f "$token_file"
