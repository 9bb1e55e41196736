"""The algorithms that have a peer, by d3rlpy's names."""

from __future__ import annotations

from jax_peers import bc, cql, iql, td3_plus_bc
from jax_peers.peer import Peer

__all__ = ["PEERS"]

PEERS: dict[str, Peer] = {
    "bc": bc.PEER,
    "iql": iql.PEER,
    "td3_plus_bc": td3_plus_bc.PEER,
    "cql": cql.PEER,
}
