"""The demonstration plant: a simulated factory behind real OPC UA servers and a real MQTT broker.

What lives here, from the inside out: a pure simulation (`agenda`, `machine`, `line`, `meter`, `plant`) of the floor
that `layout` describes, with an exact book of what happened (`book`); the faces it shows (`faces`, `opcua_servers`,
`mqtt_stations`); and the process it runs in (`host`) with the handle to it (`process`).
Rule: nothing here uses `kpi`, `connectors` or the rest of `edge_agent`. The agent meets the plant only on the wire.
"""
