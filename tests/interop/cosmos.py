"""Holds the emulator to Microsoft's Python client for Cosmos DB. Arguments: the Cosmos endpoint; others are not used."""

import logging
import pathlib
import sys

import cosmos_account
import cosmos_feed
import cosmos_items
import cosmos_query
import cosmos_topology
import cosmos_traps
from support.checks import Checks, main
from support.cosmos import World

MODULES = [cosmos_account, cosmos_items, cosmos_query, cosmos_feed, cosmos_topology, cosmos_traps]


def expected() -> list[str]:
    """The names of the features that must be checked with this client."""
    text = (pathlib.Path(__file__).parent / "support" / "cosmos_features.txt").read_text(encoding="utf-8")
    lines = [line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return [name for client, name in lines if client in ("both", "python")]


if __name__ == "__main__":
    # The client reports every refusal that a check is about.
    logging.getLogger("azure").setLevel(logging.CRITICAL)
    checks = Checks()
    for module in MODULES:
        checks.extend(module.CHECKS)
    main(checks, World(sys.argv[1]), expected())
