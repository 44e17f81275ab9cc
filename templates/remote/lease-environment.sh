# What every command of a deployment on an own machine begins with: only the leased GPUs are seen, none when none is.
# CUDA counts GPUs in an order of its own unless told to use that of nvidia-smi, which the numbers are from.
# Variables: gpucloud_base, gpucloud_gpus, gpucloud_lease.
export CUDA_VISIBLE_DEVICES="$gpucloud_gpus" CUDA_DEVICE_ORDER=PCI_BUS_ID GPUCLOUD_LEASE="$gpucloud_lease"
gpucloud_until=0
if [ -r "$gpucloud_base/until" ]; then read -r gpucloud_until <"$gpucloud_base/until"; fi
if [ -e "$gpucloud_base/ended" ] || { [ "$gpucloud_until" != 0 ] && [ "$(date +%s)" -ge "$gpucloud_until" ]; }; then
    CUDA_VISIBLE_DEVICES=
    echo 'gpucloud: the lease of these GPUs has ended' >&2
    if [ -n "${GPUCLOUD_RUN-}" ]; then exit 76; fi
fi
unset gpucloud_base gpucloud_gpus gpucloud_lease gpucloud_until
