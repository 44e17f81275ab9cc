"""How a machine with an identity of its own ends its bill: the POSIX sh that its boot script runs before it is off."""

from __future__ import annotations

import shlex

COMPUTE_VERSION = "2024-07-01"
# Both services may be busy for a moment, so it goes on until one answer is good; boot.sh bounds the whole.
# The token stays in the shell: curl reads the header from its standard input, not from its command line.
SNIPPET = """\
imds=${{AZURE_POD_IDENTITY_AUTHORITY_HOST:-http://169.254.169.254}}/metadata/identity/oauth2/token
arm={endpoint} vm={vm}
if [ "$at_end" = delete ]; then set -- DELETE "$vm"; else set -- POST "$vm/deallocate"; fi
until
    pass=$(curl -sf -m 20 -H Metadata:true "$imds?api-version=2018-02-01&resource=$arm/" |
        sed 's/.*"access_token" *: *"\\([^"]*\\)".*/\\1/')
    printf 'Authorization: Bearer %s\\n' "$pass" |
        curl -sf -m 60 -X "$1" -H @- -H Content-Length:0 "$arm$2?api-version={version}"
do sleep 2; done
"""


def ending(endpoint: str, vm_id: str) -> str:
    """Deallocate, or delete when that was agreed; by the machine's identity, with nothing secret in it."""
    return SNIPPET.format(endpoint=shlex.quote(endpoint), vm=shlex.quote(vm_id), version=COMPUTE_VERSION)
