"""Which country has this address? Ranges of IP addresses, found by the last start before it.

    python examples/ip_ranges.py [--ranges N]

Databases such as GeoIP list ranges: where one starts, where it ends, and what it is. The key is the
start, written so that the order of the keys is the order of the addresses: hexadecimal digits, all
of the same length, for IPv4 and IPv6 alike. `floor()` finds the last start that is not above an
address. All workers read the same copy, and a new edition is published while they read.
"""

import argparse
import ipaddress
import os
import random

import sharedmap

NAME = f"example:ip:{os.getpid()}"  # a real service has one fixed name
EDITION = [
    ("192.0.2.0", "192.0.2.127", "Austria"),
    ("192.0.2.128", "192.0.2.255", "Belgium"),
    ("198.51.100.0", "198.51.100.255", "Chile"),
    ("2001:db8::", "2001:db8:0:ffff:ffff:ffff:ffff:ffff", "Denmark"),
]


def key_of(address: str) -> str:
    """IPv4 addresses as IPv6 writes them, so that one map has both."""
    number = int(ipaddress.ip_address(address))
    if "." in address:
        number |= 0xFFFF << 32
    return f"{number:032x}"


def publish(ranges: list[tuple[str, str, str]], name: str) -> None:
    entries = {key_of(start): f"{key_of(end)} {what}" for start, end, what in ranges}
    sharedmap.share(entries, name, force=True)


class Countries:
    """Open it once in each process."""

    def __init__(self, name: str) -> None:
        self.ranges = sharedmap.sharedmap[str](name, follow=True)

    def find(self, address: str) -> str | None:
        key = key_of(address)
        with self.ranges.snapshot() as now:  # both lookups in the same edition
            start = now.floor(key)
            if start is None:
                return None
            end, _, what = now[start].partition(" ")
            return what if key <= end else None


def random_ranges(count: int) -> list[tuple[str, str, str]]:
    """As many ranges as a real edition has, one beside the other."""
    starts = sorted(random.Random(1).sample(range(2**24, 2**31), count + 1))
    texts = [str(ipaddress.IPv4Address(start)) for start in starts]
    ends = [str(ipaddress.IPv4Address(start - 1)) for start in starts[1:]]
    return [(texts[at], ends[at], f"country {at % 200}") for at in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranges", type=int, default=100_000)
    options = parser.parse_args()
    try:
        publish(EDITION, NAME)
        countries = Countries(NAME)
        for address in ("192.0.2.1", "192.0.2.200", "2001:db8::1", "203.0.113.9"):
            print(f"{address}: {countries.find(address)}")
        publish(random_ranges(options.ranges), NAME)
        print(f"{len(countries.ranges):,} ranges; 8.8.8.8: {countries.find('8.8.8.8')}")
    finally:
        sharedmap.remove(NAME)


if __name__ == "__main__":
    main()
