"""The one YAML file: its models, its loader and errors, and what it compiles to.

May name types of `kpi` and `connectors`; must not know `edge_agent`.
"""
