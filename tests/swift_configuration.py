"""The configuration of a one-node OpenStack Swift with the S3 API, for tests/s3_server.py."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

SERVICES = ("object", "container", "account")  # behind the proxy
LISTING_PAGE = 100  # AWS gives 1000 keys a page; with fewer, small tests page too

# In a process of its own because importing swift patches logging and threading through eventlet.
BUILD_RINGS = """
import sys
from swift.common.ring import RingBuilder
for path, port in zip(sys.argv[1::2], sys.argv[2::2]):
    builder = RingBuilder(4, 1, 1)  # 2^4 partitions, 1 replica
    device = {"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port)}
    builder.add_dev(device | {"device": "sdb1", "weight": 1.0})
    builder.rebalance()
    builder.get_ring().save(path)
"""

SWIFT_CONF = """
[swift-hash]
swift_hash_path_suffix = s
swift_hash_path_prefix = p
[storage-policy:0]
name = gold
default = yes
[swift-constraints]
max_header_size = 16384
"""

STORAGE_CONF = """
[DEFAULT]
devices = {state}/devices
mount_check = false
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {state}
fallocate_reserve = 0
disable_fallocate = true
log_level = WARNING
[pipeline:main]
pipeline = {service}-server
[app:{service}-server]
use = egg:swift#{service}
"""

PROXY_CONF = """
[DEFAULT]
bind_ip = {address}
bind_port = {port}
workers = 0
user = {user}
swift_dir = {state}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors proxy-logging s3api tempauth slo proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:s3api]
use = egg:swift#s3api
location = {region}
allow_multipart_uploads = true
min_segment_size = 5242880
max_bucket_listing = {page}
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret_key} .admin
[filter:slo]
use = egg:swift#slo
"""


def write_configuration(
    state: Path, ports: dict[str, int], region: str, secret_key: str, address: str = "127.0.0.1"
) -> None:
    """Write the rings and one .conf per service into `state`.

    Each is at the port that `ports` names, on loopback; the proxy at `address`.
    """
    (state / "devices" / "sdb1").mkdir(parents=True)
    (state / "swift.conf").write_text(SWIFT_CONF)
    user = pwd.getpwuid(os.getuid()).pw_name
    for service in SERVICES:
        text = STORAGE_CONF.format(state=state, service=service, port=ports[service], user=user)
        (state / f"{service}-server.conf").write_text(text)
    text = PROXY_CONF.format(
        state=state,
        address=address,
        port=ports["proxy"],
        page=LISTING_PAGE,
        user=user,
        region=region,
        secret_key=secret_key,
    )
    (state / "proxy-server.conf").write_text(text)
    rings = [
        arg
        for service in SERVICES
        for arg in (str(state / f"{service}.ring.gz"), str(ports[service]))
    ]
    subprocess.run([sys.executable, "-W", "ignore", "-c", BUILD_RINGS, *rings], check=True)
