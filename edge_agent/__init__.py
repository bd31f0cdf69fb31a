"""The running program: it composes connectors, engine, journal and forwarder. Nobody imports it."""
