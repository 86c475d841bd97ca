"""The agent that follows all maps of a machine, and how it reports to others."""
