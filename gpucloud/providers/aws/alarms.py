"""The limit outside the guest: a CloudWatch alarm that terminates the machine after so many hours of running.

EC2 has no lifetime of its own. An alarm on "CPU use ≥ 0" is true for every hour in which the machine runs, so
`hours` such hours in a row end it; hours without data (before the launch, switched off) do not count. CloudWatch
looks back at most seven days (PutMetricAlarm, `EvaluationPeriods`), which bounds what such an alarm can promise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from gpucloud.core.cloud import LaunchSpec, Resource
from gpucloud.core.errors import PermissionDenied, PolicyError
from gpucloud.core.guards import BACKSTOP_S
from gpucloud.providers.aws import marks
from gpucloud.providers.aws.session import Clients

KIND = "alarm"
PERIOD_S, MOST_HOURS = 3600, 168


def asked(spec: LaunchSpec) -> bool:
    """Whether the user wants one."""
    return spec.options.get("alarm") == "yes" and spec.deadline_epoch_s is not None


def alarm_name(deployment_id: str, attempt: int | None, rank: int | None) -> str:
    """The name of one machine's alarm."""
    return f"gpucloud-{deployment_id}-{attempt or 0}-{rank or 0}"


def hours_until(deadline_epoch_s: float, now: float) -> int:
    """Whole hours from now to a day after the deadline. Raises PolicyError beyond what CloudWatch allows."""
    # A minute too early is no harm, and the deadline was rounded to a second: that must not cost an hour.
    hours = max(1, math.ceil((deadline_epoch_s + BACKSTOP_S - now - 60) / PERIOD_S))
    if hours > MOST_HOURS:
        raise PolicyError(
            f"An alarm of CloudWatch can end a machine at most {MOST_HOURS} hours after its start, not {hours}.",
            f"Use --max-hours {MOST_HOURS - 24}, or --no-guard to go on without the alarm.",
        )
    return hours


def put(clients: Clients, machine: Resource, hours: int, tags: Mapping[str, str]) -> None:
    """Arm or move the alarm of a machine."""
    partition = "aws-cn" if machine.region.startswith("cn-") else "aws"
    partition = "aws-us-gov" if machine.region.startswith("us-gov-") else partition
    clients.call(
        "cloudwatch",
        machine.region,
        "PutMetricAlarm",
        AlarmName=alarm_name(machine.deployment_id, machine.attempt, machine.rank),
        AlarmDescription=f"Terminates {machine.id} after {hours} hours of running.",
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": "InstanceId", "Value": machine.id}],
        Statistic="Average",
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Threshold=0.0,
        Period=PERIOD_S,
        EvaluationPeriods=hours,
        DatapointsToAlarm=hours,
        TreatMissingData="notBreaching",
        AlarmActions=[f"arn:{partition}:automate:{machine.region}:ec2:terminate"],
        Tags=marks.tag_list(tags),
    )


def delete(clients: Clients, region: str, name: str) -> None:
    """Remove an alarm; gone is success."""
    clients.call("cloudwatch", region, "DeleteAlarms", AlarmNames=[name])


def tags_of(clients: Clients, region: str, arn: str) -> dict[str, str]:
    """The tags of an alarm."""
    answer = clients.call("cloudwatch", region, "ListTagsForResource", ResourceARN=arn)
    return marks.tags_of(answer.get("Tags"))


def by_name(clients: Clients, region: str, name: str) -> dict[str, Any]:
    """The alarm of that name, empty when there is none."""
    found = clients.call("cloudwatch", region, "DescribeAlarms", AlarmNames=[name]).get("MetricAlarms") or []
    return dict(found[0]) if found else {}


def tag(clients: Clients, region: str, arn: str, deadline_epoch_s: float) -> None:
    """Another deadline in its tag: PutMetricAlarm leaves the tags of an alarm that exists alone."""
    tags = marks.tag_list(marks.with_deadline({}, deadline_epoch_s))
    clients.call("cloudwatch", region, "TagResource", ResourceARN=arn, Tags=tags)


def ours(clients: Clients, region: str, deployment_id: str | None) -> Iterable[tuple[dict[str, Any], dict[str, str]]]:
    """Alarms by our prefix with their tags, those of one deployment or of any.

    An identity that may not look at alarms cannot have made one either, so there a refusal counts as none.
    """
    prefix = f"gpucloud-{deployment_id}-" if deployment_id else "gpucloud-"
    try:
        found = list(clients.pages("cloudwatch", region, "DescribeAlarms", "MetricAlarms", AlarmNamePrefix=prefix))
    except PermissionDenied:
        return
    for alarm in found:
        tags = tags_of(clients, region, alarm["AlarmArn"])
        if deployment_id in (None, tags.get("gpucloud-deployment")):
            yield alarm, tags
