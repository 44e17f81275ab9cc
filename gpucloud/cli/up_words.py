"""The options that `up` and `run` share, and those of `up` alone: what a machine may be, where, and for how long."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Gpu = Annotated[
    list[str] | None, typer.Option("--gpu", metavar="GPU[:N]", help="As in A100:8; repeat for alternatives.")
]
Cloud = Annotated[list[str] | None, typer.Option("--cloud", help="Where; repeat or use commas.")]
Region = Annotated[list[str] | None, typer.Option("--region", help="Where there; repeat or use commas.")]
Zone = Annotated[str | None, typer.Option("--zone", help="Only this zone.")]
Market = Annotated[str | None, typer.Option("--market", metavar="on-demand|spot|any", help="How to buy.")]
Spot = Annotated[bool, typer.Option("--spot", help="The same as --market spot.")]
InstanceType = Annotated[str | None, typer.Option("--instance-type", help="Only this type.")]
Nodes = Annotated[int | None, typer.Option("--nodes", metavar="N", help="How many equal machines.")]
Image = Annotated[str | None, typer.Option("--image", help="Another image than the usual one.")]
Disk = Annotated[int | None, typer.Option("--disk-gib", metavar="GIB", help="Size of the disk.")]
MaxHours = Annotated[
    str | None, typer.Option("--max-hours", metavar="H", help="When it ends, whatever runs: 6h, 90m, 0 = never.")
]
Budget = Annotated[float | None, typer.Option("--budget", metavar="USD", help="Ends before it costs more.")]
Idle = Annotated[
    float | None, typer.Option("--idle", metavar="MIN", help="Ends after so many idle minutes; 0 = never.")
]
AtEnd = Annotated[str | None, typer.Option("--at-end", metavar="stop|delete", help="What a guard does at the end.")]
SshFrom = Annotated[str | None, typer.Option("--ssh-from", metavar="CIDR|auto", help="Who may connect.")]
WaitCapacity = Annotated[str | None, typer.Option("--wait-capacity", metavar="TIME", help="Keep trying for so long.")]
Timeout = Annotated[str, typer.Option("--timeout", metavar="TIME", help="How long a machine may take to be ready.")]
Identity = Annotated[str | None, typer.Option("--identity", help="Cloud identity of the machine; none by default.")]
Subnet = Annotated[str | None, typer.Option("--subnet", help="An existing subnet.")]
SecurityGroup = Annotated[str | None, typer.Option("--security-group", help="An existing security group.")]
ResourceGroup = Annotated[str | None, typer.Option("--resource-group", help="An existing resource group.")]
Private = Annotated[bool, typer.Option("--private", help="No public address.")]
SshUser = Annotated[str | None, typer.Option("--ssh-user", help="The image's login user, if not the usual one.")]
Tag = Annotated[list[str] | None, typer.Option("--tag", metavar="K=V", help="A tag of your own; repeat.")]
Setup = Annotated[str | None, typer.Option("--setup", metavar="CMD", help="Run before the first command.")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="The task file; gpucloud.yaml by default.")]
Keep = Annotated[bool, typer.Option("--keep", help="Keep a machine that never became ready.")]
Alarm = Annotated[bool, typer.Option("--alarm", help="AWS: also a CloudWatch alarm that terminates it a day later.")]
NoGuard = Annotated[bool, typer.Option("--no-guard", help="Go on where no provider-side guard is possible.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan only; needs no credentials.")]
