"""The KPI engine: samples in, elements and KPIs out. Pure: no I/O, no clock, nothing of the project but itself."""
