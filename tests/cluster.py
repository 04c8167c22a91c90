"""A Ray cluster of two nodes on this machine: python tests/cluster.py RESOURCE COUNT. Says its
address and the process ids of the two node processes, and ends with its standard input."""

import os
import sys

os.environ["RAY_AUTH_MODE"] = "token"
# What goes to loopback must not go to a proxy.
os.environ["no_proxy"] = "127.0.0.2,127.0.0.3"

from ray.cluster_utils import Cluster

NODES = ("127.0.0.2", "127.0.0.3")


def main(resource: str, count: str) -> None:
    """Each node offers `count` of `resource` (cpus or gpus)."""
    cluster = Cluster()
    offered = {"num_cpus": 0, f"num_{resource}": int(count), "include_dashboard": False}
    nodes = [cluster.add_node(node_ip_address=address, **offered) for address in NODES]
    pids = [node.all_processes["raylet"][0].process.pid for node in nodes]
    print(cluster.address, *pids, flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
