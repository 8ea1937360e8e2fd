"""`ray up` as far as it goes without AWS: Ray's own provider launches our nodes on a mock of EC2.

moto checks what AWS checks first: roles and policies, subnets, groups, the AMI, the key pair.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.test_deployment import CLUSTER, PRIVATE, prepared

IAM = Path(__file__).parents[2] / "deploy" / "iam"
ROLES = {
    "facemill-worker": ("score", "train"),
    "facemill-head": ("score", "train", "head"),
}
pytestmark = pytest.mark.filterwarnings("ignore")  # moto's and botocore's own


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty account whose two roles deploy/iam/make-roles.sh has made; yields its EC2."""
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "mock")
    import boto3
    from moto import mock_aws

    with mock_aws():
        iam = boto3.client("iam")
        trust = (IAM / "trust.json").read_text()
        for role, policies in ROLES.items():
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)
            for policy in policies:
                text = (IAM / f"{policy}.json").read_text()
                for name, value in (
                    ("BUCKET", "b"),
                    ("REGION", "us-east-1"),
                    ("ACCOUNT", "1" * 12),
                ):
                    text = text.replace(name, value)
                iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=text)
            iam.create_instance_profile(InstanceProfileName=role)
            iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
        yield boto3.client("ec2")


def launched(aws: Any, text: str) -> dict[str, dict[str, Any]]:
    """One instance of each node type, by type."""
    from ray.autoscaler._private.aws.config import bootstrap_aws
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider

    ami = aws.describe_images()["Images"][0]["ImageId"]
    config = bootstrap_aws(prepared(text.replace("ami-FILL-IN", ami)))
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    found = {}
    for name, node in config["available_node_types"].items():
        (instance,) = provider.create_node(dict(node["node_config"]), {"kind": name}, 1)
        (there,) = aws.describe_instances(InstanceIds=[instance])["Reservations"]
        found[name] = there["Instances"][0]
    return found


def test_head_and_workers_start_with_their_roles_and_workers_on_spot(aws: Any) -> None:
    nodes = launched(aws, CLUSTER)
    assert {name: node["InstanceType"] for name, node in nodes.items()} == {
        "head": "m7i.xlarge", "cpu": "c7i.4xlarge", "gpu": "g6.4xlarge",
    }  # fmt: skip
    profiles = {n: node["IamInstanceProfile"]["Arn"].split("/")[-1] for n, node in nodes.items()}
    assert profiles == {
        "head": "facemill-head", "cpu": "facemill-worker", "gpu": "facemill-worker",
    }  # fmt: skip
    spot = {name: node.get("InstanceLifecycle") for name, node in nodes.items()}
    assert spot == {"head": None, "cpu": "spot", "gpu": "spot"}
    for node in nodes.values():
        tags = {tag["Key"]: tag["Value"] for tag in node["Tags"]}
        assert tags["ray-cluster-name"] == "facemill"  # head.json's condition leans on it


def test_the_private_variant_uses_the_given_subnet_and_group_and_makes_none(aws: Any) -> None:
    vpc = aws.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = aws.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = aws.create_security_group(VpcId=vpc, GroupName="ours", Description="ours")["GroupId"]
    text = PRIVATE.replace("subnet-FILL-IN", subnet).replace("sg-FILL-IN", group)
    for node in launched(aws, text).values():
        assert node["SubnetId"] == subnet
        assert [one["GroupId"] for one in node["SecurityGroups"]] == [group]
    named = [one["GroupName"] for one in aws.describe_security_groups()["SecurityGroups"]]
    assert not any(name.startswith("ray-autoscaler") for name in named)


def test_the_roles_policies_are_ones_that_iam_accepts() -> None:
    """What the fixture puts there, moto has parsed by IAM's grammar; a broken one is refused."""
    import boto3
    import botocore.exceptions
    from moto import mock_aws

    broken = json.loads((IAM / "score.json").read_text())
    broken["Statement"][0]["Effect"] = "Permit"
    with mock_aws():
        iam = boto3.client("iam", region_name="us-east-1")
        iam.create_role(RoleName="r", AssumeRolePolicyDocument=(IAM / "trust.json").read_text())
        with pytest.raises(botocore.exceptions.ClientError, match="MalformedPolicyDocument"):
            iam.put_role_policy(RoleName="r", PolicyName="p", PolicyDocument=json.dumps(broken))
