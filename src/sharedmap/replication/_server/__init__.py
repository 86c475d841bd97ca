"""The server: its URL, its protocol, and the ways to it, as far as replication needs them."""
