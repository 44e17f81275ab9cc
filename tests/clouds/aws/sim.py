"""A strict door in front of moto: what EC2 does and moto does not, so that a driver cannot lean on moto's laxness.

It answers RunInstances by token as EC2 does (also per zone, and for a token whose machine has ended), refuses for
lack of stock and quota, keeps new machines out of sight or without tags for a while, ends machines slowly, keeps
groups that are in use, knows regions that are off or denied, and asks for tags where a policy does. One at a time
per process: moto's state is the process's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from tests.clouds.aws.images import ALL, PARAMETERS
from tests.clouds.aws.wire import (
    NAMESPACE,
    Call,
    answer_json,
    call_of,
    numbered,
    refusal,
    tags_in,
    to_moto,
    xml,
)
from tests.clouds.http import Answer, Request, SimServer

SERVICES = {"monitoring": "cloudwatch"}  # how policies call them
ACCOUNT, OTHER_ACCOUNT = "123456789012", "210987654321"
KEYS = {"AKIAMINE": ACCOUNT, "AKIAOTHER": OTHER_ACCOUNT}
MOTO_IMAGE = "ami-1234abcd"  # one that moto knows
EMPTY = {  # looks at a region in which nothing was ever done need no moto, which takes its time to make one
    "DescribeInstances": "<reservationSet/>",
    "DescribeVolumes": "<volumeSet/>",
    "DescribeSecurityGroups": "<securityGroupInfo/>",
    "DescribeAlarms": "",
}
REFUSALS = {
    "InsufficientInstanceCapacity": (500, "We currently do not have sufficient capacity in the zone you requested."),
    "Unsupported": (400, "Your requested instance type is not supported in your requested Availability Zone."),
    "VcpuLimitExceeded": (400, "You have requested more vCPU capacity than your current vCPU limit of 0 allows."),
    "MaxSpotInstanceCountExceeded": (400, "Max spot instance count exceeded."),
    "UnauthorizedOperation": (
        403,
        "You are not authorized to perform this operation. Encoded authorization failure message: AbCdEf0123456789",
    ),
    "OptInRequired": (401, "In order to use this AWS Marketplace product you need to accept terms and subscribe."),
    "RequestLimitExceeded": (503, "Request limit exceeded."),
    "InternalError": (500, "An internal error has occurred."),
    "SomethingNew": (400, "Nobody has seen this code before."),
}
FORGOTTEN_AFTER_S = 3600.0
SCP = "You are not authorized to perform this operation, with an explicit deny in a service control policy"


class Dropped(Exception):
    """The connection is closed without an answer."""


@dataclass
class Clock:
    """Seconds that only tests move, on top of the real ones where machines are real."""

    offset: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset

    def move(self, seconds: float) -> None:
        self.offset += seconds


@dataclass
class Refusal:
    """Refuse RunInstances with `code`: in a region or zone, of a type, in a market; everything when empty."""

    code: str
    place: str = ""
    instance_type: str = ""
    market: str = ""

    def matches(self, region: str, zone: str, instance_type: str, market: str) -> bool:
        return (
            self.place in ("", region, zone)
            and self.instance_type in ("", instance_type)
            and self.market in ("", market)
        )


@dataclass
class Made:
    """What a token has made."""

    words: str
    ids: list[str]
    body: Answer
    group: str
    behaviour: str
    token: str
    user_data: str
    region: str
    instance_type: str


@dataclass
class AwsSim(SimServer):
    """One AWS. Attributes are the knobs of tests."""

    tls: tuple[str, str] | None = None
    regions: dict[str, str] = field(
        default_factory=lambda: {
            "us-east-1": "opt-in-not-required",
            "us-west-2": "opt-in-not-required",
            "af-south-1": "not-opted-in",
        }
    )
    zones: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "us-east-1": ("us-east-1a", "us-east-1b", "us-east-1c"),
            "us-west-2": ("us-west-2a", "us-west-2b"),
        }
    )
    refusals: list[Refusal] = field(default_factory=list)
    denied_regions: set[str] = field(default_factory=set)
    granted: set[str] | None = None  # the only actions allowed, as in `ec2:RunInstances`; None: every one
    required_tags: set[str] = field(default_factory=set)
    without_default_vpc: set[str] = field(default_factory=set)
    quotas: dict[str, float] = field(
        default_factory=lambda: {"L-417A185B": 192.0, "L-DB2E81BA": 64.0, "L-7212CCBC": 0.0, "L-3819A6DF": 64.0}
    )
    invisible_s: float = 0.0
    untagged_s: float = 0.0
    ending_s: float = 0.0
    late_s: float = 0.0  # the next RunInstances: no answer, and its effect only after so long
    expired: bool = False
    page_size: int = 0

    def __post_init__(self) -> None:
        super().__init__(tls=self.tls)
        self.clock = Clock()
        self.used: set[tuple[str, str]] = set()  # (service, operation) of every call
        self.seen: dict[str, list[Call]] = {}
        self.problems: list[str] = []  # requests that the driver must never send
        self.touched: set[str] = set()  # regions in which something was done
        self.made: dict[tuple[str, str, str], Made] = {}  # by region, zone, token
        self.late: list[tuple[float, Call]] = []
        self.born: dict[str, float] = {}
        self.ending: dict[str, float] = {}
        self.taken: set[str] = set()  # spot machines that were taken back
        self.addresses: dict[str, str] = {}
        self.terminated: dict[str, set[str]] = {}  # by region, as of the last look
        self.forgets_at = 0.0
        self.on_run: Callable[[str, Made], None] = lambda identifier, made: None
        self.on_power: Callable[[str, str], None] = lambda identifier, what: None
        _reset_moto()

    # ---- what tests ask

    @property
    def environ(self) -> dict[str, str]:
        """What a command needs to speak to this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAMINE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/nonexistent/config",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
            "GPUCLOUD_WAIT_RETRY": "0.01",
        }

    def instances(self) -> dict[str, Any]:
        """moto's instances that have not ended, by id."""
        with self.lock:
            self._age()
            found = {}
            for region in self.touched:
                for reservation in _backend("ec2", region).all_reservations():
                    for instance in reservation.instances:
                        if instance.state != "terminated" or instance.id in self.ending:
                            found[instance.id] = instance
            return found

    def left(self) -> list[str]:
        """Everything of gpucloud that exists: machines, disks, groups, alarms."""
        names = [f"machine {name}" for name in self.instances()]
        with self.lock:
            for region in self.touched:
                ec2 = _backend("ec2", region)
                names += [f"volume {volume.id}" for volume in ec2.volumes.values()]
                names += [f"alarm {name}" for name in _backend("cloudwatch", region).alarms]
        return names + [f"group {group.name}" for group in self.groups()]

    def groups(self, prefix: str = "gpucloud-") -> list[Any]:
        """moto's security groups whose names begin so."""
        with self.lock:
            networks = [by_id for region in self.touched for by_id in _backend("ec2", region).groups.values()]
            return [group for by_id in networks for group in by_id.values() if group.name.startswith(prefix)]

    def foreign_group(self, region: str, name: str) -> str:
        """Somebody else's group in the default VPC; its id."""
        with self.lock:
            self.touched.add(region)
            ec2 = _backend("ec2", region)
            vpc = next(item.id for item in ec2.vpcs.values() if item.is_default in (True, "true"))
            return str(ec2.create_security_group(name, "theirs", vpc_id=vpc).id)

    def subnet(self, zone: str) -> str:
        """The id of the default subnet of a zone."""
        with self.lock:
            networks = _backend("ec2", zone[:-1]).subnets.values()
            subnets = [item for by_id in networks for item in by_id.values()]
            return next(str(item.id) for item in subnets if item.availability_zone == zone)

    def alarms(self) -> list[Any]:
        """moto's alarms."""
        with self.lock:
            return [alarm for region in self.touched for alarm in _backend("cloudwatch", region).alarms.values()]

    def volume(self, zone: str, tags: dict[str, str] | Any) -> str:
        """A disk that no machine has; its id."""
        with self.lock:
            self.touched.add(zone[:-1])
            ec2 = _backend("ec2", zone[:-1])
            identifier = str(ec2.create_volume(size=10, zone_name=zone).id)
            ec2.create_tags([identifier], dict(tags))
        return identifier

    def profile(self, name: str) -> None:
        """An instance profile of that name."""
        from moto.backends import get_backend

        get_backend("iam")[ACCOUNT]["aws"].create_instance_profile(name, "/", {})

    def take_back(self, identifier: str) -> None:
        """Spot capacity is wanted elsewhere."""
        with self.lock:
            self.taken.add(identifier)
            self._end(identifier)

    # ---- the server

    def label(self, request: Request) -> str:
        call = call_of(request)
        return "" if call is None or call.service == "sts" else call.operation

    def trouble(self, kind: str, request: Request) -> Answer:
        call = call_of(request)
        assert call is not None
        throttled = kind == "throttled"
        code = "InternalError" if not throttled else "RequestLimitExceeded"
        if call.service != "ec2":
            code = "InternalFailure" if not throttled else "ThrottlingException"
        status = 500 if not throttled else (503 if call.service == "ec2" else 400)
        return refusal(call, status, code, "Out of order." if not throttled else "Slow down.", {"Retry-After": "1"})

    def handle(self, request: Request) -> Answer | None:
        try:
            return super().handle(request)
        except Dropped:
            return None

    def respond(self, request: Request) -> Answer:
        call = call_of(request)
        if call is None:
            return Answer(
                403,
                b"<Response><Errors><Error><Code>MissingAuthenticationToken</Code></Error></Errors>"
                b"<RequestID>sim</RequestID></Response>",
            )
        self.used.add((call.service, call.operation))
        self.seen.setdefault(call.operation, []).append(call)
        self._age()
        wrong = self._who(call) or self._where(call)
        if wrong is not None:
            return wrong
        if call.operation in EMPTY and call.region not in self.touched:
            inside = EMPTY[call.operation]
            return xml(call.operation, inside) if inside else answer_json({"MetricAlarms": []})
        self.touched.add(call.region)
        own = getattr(self, f"_{call.operation}", None)
        return own(call) if own is not None else to_moto(call)

    def _who(self, call: Call) -> Answer | None:
        if call.key not in KEYS:
            code = "AuthFailure" if call.service == "ec2" else "InvalidClientTokenId"
            return refusal(call, 401 if call.service == "ec2" else 403, code, "The access key does not exist.")
        if self.expired:
            return refusal(call, 403, "ExpiredToken", "The security token included in the request is expired.")
        return None

    def _where(self, call: Call) -> Answer | None:
        if call.service == "sts":  # nobody can be denied to ask who they are
            return None
        status = self.regions.get(call.region)
        if status == "not-opted-in":
            return refusal(call, 401, "AuthFailure", "AWS was not able to validate the provided access credentials")
        if status is None:
            return refusal(call, 401, "AuthFailure", "The region is not known.")
        if call.region in self.denied_regions and call.operation != "DescribeRegions":
            code = "UnauthorizedOperation" if call.service == "ec2" else "AccessDeniedException"
            return refusal(call, 403, code, SCP)
        action = f"{SERVICES.get(call.service, call.service)}:{call.operation}"
        if self.granted is not None and action not in self.granted:
            code = "UnauthorizedOperation" if call.service == "ec2" else "AccessDeniedException"
            return refusal(call, 403, code, f"You are not authorized to perform: {action}.")
        return None

    # ---- services that moto has no data for

    def _GetCallerIdentity(self, call: Call) -> Answer:
        account = KEYS[call.key]
        inside = f"<UserId>AIDA</UserId><Account>{account}</Account><Arn>arn:aws:iam::{account}:user/tester</Arn>"
        body = (
            f'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
            f"{inside}</GetCallerIdentityResult><ResponseMetadata><RequestId>sim-1</RequestId></ResponseMetadata>"
            f"</GetCallerIdentityResponse>"
        )
        return Answer(200, body.encode(), {"Content-Type": "text/xml"})

    def _DescribeRegions(self, call: Call) -> Answer:
        every = call.words.get("AllRegions") == "true"
        shown = {name: status for name, status in self.regions.items() if every or status != "not-opted-in"}
        items = [
            f"<item><regionName>{name}</regionName><regionEndpoint>ec2.{name}.amazonaws.com</regionEndpoint>"
            f"<optInStatus>{status}</optInStatus></item>"
            for name, status in shown.items()
        ]
        return xml("DescribeRegions", f"<regionInfo>{''.join(items)}</regionInfo>")

    def _DescribeInstanceTypeOfferings(self, call: Call) -> Answer:
        wanted = call.filters()["instance-type"][0]
        zones = [
            zone
            for zone in self.zones[call.region]
            if not any(r.code == "NotSold" and r.matches(call.region, zone, wanted, r.market) for r in self.refusals)
        ]
        items = "".join(
            f"<item><instanceType>{wanted}</instanceType><locationType>availability-zone</locationType>"
            f"<location>{zone}</location></item>"
            for zone in zones
        )
        return xml("DescribeInstanceTypeOfferings", f"<instanceTypeOfferingSet>{items}</instanceTypeOfferingSet>")

    def _DescribeSubnets(self, call: Call) -> Answer:
        if "default-for-az" in call.filters() and call.region in self.without_default_vpc:
            return xml("DescribeSubnets", "<subnetSet/>")
        return to_moto(call)

    def _GetParameter(self, call: Call) -> Answer:
        value = PARAMETERS.get(call.words["Name"])
        if value is None:
            return refusal(call, 400, "ParameterNotFound", "")
        return answer_json({"Parameter": {"Name": call.words["Name"], "Value": value, "Type": "String"}})

    def _DescribeImages(self, call: Call) -> Answer:
        wanted = numbered(call.words, "ImageId")
        missing = [name for name in wanted if name not in ALL]
        if missing:
            return refusal(call, 400, "InvalidAMIID.NotFound", f"The image id '{missing[0]}' does not exist")
        return xml("DescribeImages", f"<imagesSet>{''.join(ALL[name] for name in wanted)}</imagesSet>")

    def _ListServiceQuotas(self, call: Call) -> Answer:
        rows = [{"QuotaCode": code, "QuotaName": code, "Value": value} for code, value in self.quotas.items()]
        return answer_json({"Quotas": rows})

    # ---- machines

    def _RunInstances(self, call: Call) -> Answer:
        if self.late_s:
            self.late.append((self.clock() + self.late_s, call))
            self.late_s = 0.0
            raise Dropped
        return self._run(call)

    def _run(self, call: Call) -> Answer:
        words = call.words
        zone = self._zone_of(call)
        token = words.get("ClientToken", "")
        known = self.made.get((call.region, zone, token))
        if known is not None:
            return self._again(call, known)
        market = words.get("InstanceMarketOptions.MarketType", "on-demand")
        wrong = self._refused(call, zone, market) or self._not_as_ruled(call, market)
        if wrong is not None:
            return wrong
        forwarded = call.without("SecurityGroupId").changed(ImageId=MOTO_IMAGE)
        answer = to_moto(forwarded)
        if answer.status != 200:
            return answer
        ids = [item.text or "" for item in ElementTree.fromstring(answer.body).iter(f"{{{NAMESPACE}}}instanceId")]
        ids = list(dict.fromkeys(ids))
        made = Made(
            words=_fingerprint(words),
            ids=ids,
            body=answer,
            group=words.get("NetworkInterface.1.SecurityGroupId.1", ""),
            behaviour=words.get("InstanceInitiatedShutdownBehavior", "stop"),
            token=token,
            user_data=base64.b64decode(words.get("UserData", "")).decode(),
            region=call.region,
            instance_type=words["InstanceType"],
        )
        self.made[call.region, zone, token] = made
        for identifier in ids:
            self.born[identifier] = self.clock()
            self.on_run(identifier, made)
        return self._seen(call, answer, acknowledged=True)

    def _zone_of(self, call: Call) -> str:
        subnet = call.words.get("NetworkInterface.1.SubnetId", "")
        found = [s for by_zone in _backend("ec2", call.region).subnets.values() for s in by_zone.values()]
        return next((item.availability_zone for item in found if item.id == subnet), "")

    def _again(self, call: Call, known: Made) -> Answer:
        if known.words != _fingerprint(call.words):
            return refusal(call, 400, "IdempotentParameterMismatch", "Arguments on this idempotent request differ.")
        if any(_instance(call.region, name).state == "terminated" for name in known.ids):
            return refusal(call, 400, "IdempotentInstanceTerminated", "The instance of this token has terminated.")
        return self._seen(call, known.body, acknowledged=True)

    def _refused(self, call: Call, zone: str, market: str) -> Answer | None:
        kind = call.words["InstanceType"]
        for rule in self.refusals:
            if rule.code in REFUSALS and rule.matches(call.region, zone, kind, market):
                status, message = REFUSALS[rule.code]
                return refusal(call, status, rule.code, message)
        missing = self.required_tags - set(tags_in(call.words, "instance"))
        if missing:
            return refusal(call, 400, "TagPolicyViolation", f"The tag policy wants a value for {sorted(missing)[0]}.")
        group = call.words.get("NetworkInterface.1.SecurityGroupId.1", "")
        groups = [g for by_id in _backend("ec2", call.region).groups.values() for g in by_id.values()]
        if group not in [item.id for item in groups]:
            return refusal(call, 400, "InvalidGroup.NotFound", f"The security group '{group}' does not exist")
        return None

    def _not_as_ruled(self, call: Call, market: str) -> Answer | None:
        """What EC2 refuses, and what this project never sends; the latter is also kept in `problems`."""
        words = call.words
        tagged = ["instance", "volume", "network-interface"] + (["spot-instances-request"] if market == "spot" else [])
        rules = {
            "no ClientToken of our own": len(words.get("ClientToken", "")) <= 64
            and words.get("ClientToken", "").startswith(tags_in(words, "instance").get("gpucloud-deployment", "?")),
            "not all or nothing": words["MinCount"] == words["MaxCount"],
            "a key pair": "KeyName" not in words,
            "IMDSv1 is possible": words.get("MetadataOptions.HttpTokens") == "required",
            "untagged things": all(tags_in(words, kind).get("gpucloud-deployment") for kind in tagged),
            "an unknown image": words["ImageId"] in ALL,
            "a disk that stays": words.get("BlockDeviceMapping.1.Ebs.DeleteOnTermination") == "true",
            "user data above 16 KiB": len(base64.b64decode(words.get("UserData", ""))) <= 16384,
            "a spot request that persists": market != "spot"
            or words.get("InstanceMarketOptions.SpotOptions.SpotInstanceType") == "one-time",
            "a spot machine that stops": market != "spot"
            or words.get("InstanceInitiatedShutdownBehavior") == "terminate",
        }
        wrong = [name for name, right in rules.items() if not right]
        self.problems += wrong
        return refusal(call, 400, "InvalidParameterCombination", f"RunInstances: {wrong[0]}") if wrong else None

    def _DescribeInstances(self, call: Call) -> Answer:
        tokens = call.filters().get("client-token")
        if tokens:
            number = next(n for n in range(1, 20) if call.words.get(f"Filter.{n}.Name") == "client-token")
            assert number == 1 and "Filter.2.Name" not in call.words
            call = call.without("Filter.")
        return self._seen(call, to_moto(call), tokens=tokens)

    def _seen(
        self, call: Call, answer: Answer, *, acknowledged: bool = False, tokens: list[str] | None = None
    ) -> Answer:
        """moto's instances as EC2 shows them now."""
        if answer.status != 200:
            return answer
        tree = ElementTree.fromstring(answer.body)
        for holder in list(tree.iter(f"{{{NAMESPACE}}}instancesSet")):
            for item in list(holder):
                if not self._show(item, acknowledged, tokens):
                    holder.remove(item)
        wanted = numbered(call.words, "InstanceId")
        hidden = [name for name in wanted if self._hidden(name)]
        if hidden and not acknowledged:
            return refusal(call, 400, "InvalidInstanceID.NotFound", f"The instance ID '{hidden[0]}' does not exist")
        ElementTree.register_namespace("", NAMESPACE)
        return Answer(200, ElementTree.tostring(tree), answer.headers)

    def _hidden(self, identifier: str) -> bool:
        return self.clock() - self.born.get(identifier, 0.0) < self.invisible_s

    def _show(self, item: ElementTree.Element, acknowledged: bool, tokens: list[str] | None) -> bool:
        identifier = _text(item, "instanceId")
        made = next((one for one in self.made.values() if identifier in one.ids), None)
        if tokens is not None and (made is None or made.token not in tokens):
            return False
        if self._hidden(identifier) and not acknowledged:
            return False
        if self.clock() - self.born.get(identifier, 0.0) < self.untagged_s:
            for tags in item.findall(f"{{{NAMESPACE}}}tagSet"):
                item.remove(tags)
        state = item.find(f"{{{NAMESPACE}}}instanceState/{{{NAMESPACE}}}name")
        if state is not None and identifier in self.ending:
            state.text = "shutting-down"
        if identifier in self.taken:
            reason = item.find(f"{{{NAMESPACE}}}stateReason/{{{NAMESPACE}}}code")
            assert reason is not None
            reason.text = "Server.SpotInstanceTermination"
        cpu = ElementTree.SubElement(item, f"{{{NAMESPACE}}}cpuOptions")  # moto leaves it out
        for name in ("coreCount", "threadsPerCore"):
            ElementTree.SubElement(cpu, f"{{{NAMESPACE}}}{name}").text = "2"
        address = self.addresses.get(identifier)
        for found in item.findall(f"{{{NAMESPACE}}}ipAddress"):
            found.text = address or "192.0.2.7"
        return True

    def _TerminateInstances(self, call: Call) -> Answer:
        hidden = [name for name in numbered(call.words, "InstanceId") if self._hidden(name)]
        if hidden:
            return refusal(call, 400, "InvalidInstanceID.NotFound", f"The instance ID '{hidden[0]}' does not exist")
        alive = self.instances()
        ids = numbered(call.words, "InstanceId")
        if all(name not in alive or name in self.ending for name in ids):  # moto cannot do that twice
            return xml("TerminateInstances", "<instancesSet/>")
        answer = to_moto(call)
        if answer.status == 200:
            for identifier in ids:
                if identifier not in self.ending and self.ending_s:
                    self.ending[identifier] = self.clock() + self.ending_s
                self.on_power(identifier, "end")
        return answer

    def _StopInstances(self, call: Call) -> Answer:
        identifier = numbered(call.words, "InstanceId")[0]
        instance = self.instances()[identifier]
        if instance.lifecycle == "spot":
            return refusal(call, 400, "UnsupportedOperation", "You can't stop the Spot Instance of a one-time request.")
        answer = to_moto(call)
        self.on_power(identifier, "off")
        return answer

    def _StartInstances(self, call: Call) -> Answer:
        answer = to_moto(call)
        if answer.status == 200:
            self.on_power(numbered(call.words, "InstanceId")[0], "on")
        return answer

    def guest_off(self, identifier: str) -> None:
        """The guest has powered off: EC2 stops or ends the machine, as was said at the launch."""
        with self.lock:
            made = next(one for one in self.made.values() if identifier in one.ids)
            if made.behaviour == "terminate":
                self._end(identifier)
            else:
                _backend("ec2", made.region).stop_instances([identifier])

    def _end(self, identifier: str) -> None:
        region = next(one.region for one in self.made.values() if identifier in one.ids)
        _backend("ec2", region).terminate_instances([identifier])
        self.on_power(identifier, "end")

    # ---- disks and groups

    def _DescribeVolumes(self, call: Call) -> Answer:
        """With the flag that moto leaves out: the disk goes with its machine."""
        answer = to_moto(call)
        if answer.status != 200:
            return answer
        tree = ElementTree.fromstring(answer.body)
        for attached in tree.iter(f"{{{NAMESPACE}}}attachmentSet"):
            for item in attached:
                ElementTree.SubElement(item, f"{{{NAMESPACE}}}deleteOnTermination").text = "true"
        ElementTree.register_namespace("", NAMESPACE)
        return Answer(200, ElementTree.tostring(tree), answer.headers)

    def _CreateSecurityGroup(self, call: Call) -> Answer:
        if not tags_in(call.words, "security-group").get("gpucloud-deployment"):
            self.problems.append("an untagged security group")
        missing = self.required_tags - set(tags_in(call.words, "security-group"))
        if missing:
            return refusal(call, 400, "TagPolicyViolation", f"The tag policy wants a value for {sorted(missing)[0]}.")
        return to_moto(call)

    def _DeleteSecurityGroup(self, call: Call) -> Answer:
        identifier = call.words["GroupId"]
        alive = self.instances()
        users = [name for made in self.made.values() if made.group == identifier for name in made.ids if name in alive]
        if users:
            message = f"resource {identifier} has a dependent object"
            return refusal(call, 400, "DependencyViolation", message)
        return to_moto(call)

    # ---- time

    def _age(self) -> None:
        now = self.clock()
        self.ending = {name: end for name, end in self.ending.items() if end > now}
        due = [call for when, call in self.late if when <= now]
        self.late = [(when, call) for when, call in self.late if when > now]
        for call in due:
            self._run(call)
        if now > self.forgets_at:
            self.forgets_at = now + FORGOTTEN_AFTER_S
            self.terminated = {region: self._forget(region) for region in self.touched}

    def _forget(self, region: str) -> set[str]:
        """As EC2 does, what ended more than an hour ago is shown no more. Returns what has ended by now."""
        ec2 = _backend("ec2", region)
        ended: set[str] = set()
        for number, reservation in list(ec2.reservations.items()):
            names = {instance.id for instance in reservation.instances if instance.state == "terminated"}
            if len(names) < len(reservation.instances) or not names <= self.terminated.get(region, set()):
                ended |= names
                continue
            del ec2.reservations[number]
        machines = {instance.id for reservation in ec2.reservations.values() for instance in reservation.instances}
        there = machines | {*ec2.volumes, *(name for by_id in ec2.groups.values() for name in by_id)}
        for name in set(ec2.tags) - there:
            if name.startswith(("i-", "vol-", "sg-")):
                del ec2.tags[name]
        return ended


def _fingerprint(words: dict[str, Any] | Any) -> str:
    """The parameters that EC2 compares for one token: all but where (its page excludes region and zone)."""
    kept = {key: value for key, value in words.items() if "SubnetId" not in key and key != "ClientToken"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _text(item: ElementTree.Element, name: str) -> str:
    found = item.find(f"{{{NAMESPACE}}}{name}")
    return (found.text or "") if found is not None else ""


def _backend(service: Any, region: str) -> Any:
    from moto.backends import get_backend

    return get_backend(service)[ACCOUNT][region]


def _instance(region: str, identifier: str) -> Any:
    return _backend("ec2", region).get_instance(identifier)


def _reset_moto() -> None:
    from moto.backends import get_backend

    for service in ("ec2", "cloudwatch"):
        get_backend(service).reset()


def open_sim(tmp_path: Path) -> AwsSim:
    """A running simulator; close it with `.close()`."""
    sim = AwsSim()
    sim.__enter__()
    return sim
