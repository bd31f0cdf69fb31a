"""`edge-agent simulate`: the demonstration plant alone, for any client."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

from edge_agent.commands.faults import WorkFailedError
from edge_agent.commands.run import on_signal

if TYPE_CHECKING:
    from edge_agent.demo.process import DemoProcess

_OTHER_SPEED = (
    "The plant's clock, and so its timestamps, run {speed:g} times as fast as the wall clock, from now on. Clients "
    "that look at values are fine; an agent refuses what comes from the future: `edge-agent demo --speed` shows KPIs."
)

Speed = Annotated[
    float, typer.Option("--speed", min=0.1, max=600, help="How much faster than wall time its clock runs.")
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="What happens in the plant; the same seed, the same shift.", show_default=False),
]


def simulate(
    *,
    speed: Speed = 1.0,
    seed: Seed = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    duration: Annotated[
        float | None, typer.Option(min=1, help="End after so many seconds; without it, at Ctrl-C.", show_default=False)
    ] = None,
    machining_port: Annotated[int, typer.Option(help="Port of the OPC UA server of line machining.")] = 4840,
    packaging_port: Annotated[int, typer.Option(help="Port of the OPC UA server of line packaging.")] = 4841,
    meters_port: Annotated[int, typer.Option(help="Port of the OPC UA server of the energy meters.")] = 4842,
    mqtt_port: Annotated[int, typer.Option(help="Port of the MQTT broker.")] = 1883,
    broker: Annotated[
        str | None,
        typer.Option(help="Publish to this broker, mqtt://host:1883, instead of to an own one.", show_default=False),
    ] = None,
) -> None:
    """Serve the demonstration plant alone, so that any OPC UA or MQTT client, or an agent, can connect to it.

    Two lines with cnc machines, a press, a filler, packaging and test stations, and energy meters. Port 0 takes any
    free one. An agent elsewhere collects from it with `edge-agent run config/examples/demo-plant.yaml`. At another
    speed than 1 its timestamps leave real time: good for looking at values, but an agent refuses the future.
    """
    from edge_agent.demo.process import DEFAULT_SEED, DemoPlantError, DemoProcess

    ports = {"machining": machining_port, "packaging": packaging_port, "meters": meters_port, "broker": mqtt_port}
    try:
        plant = DemoProcess(
            seed=DEFAULT_SEED if seed is None else seed,
            speed=speed,
            host=host,
            ports=ports,
            broker_url=broker,
            start_ns=None if speed == 1 else time.time_ns(),
        )
        asyncio.run(_serve(plant, host, duration))
    except DemoPlantError as fault:
        raise WorkFailedError(f"{fault}; perhaps another program has one of its ports") from fault


async def _serve(plant: DemoProcess, host: str, duration: float | None) -> None:
    stop = asyncio.Event()
    on_signal(stop.set)
    async with plant:
        # At real speed the plant was at work while its servers started; faster or slower it begins now.
        await plant.begin(catch_up=plant.speed == 1)
        if plant.speed != 1:
            typer.echo(_OTHER_SPEED.format(speed=plant.speed), err=True)
        for name, value in plant.endpoints.items():
            if name.endswith("_PORT"):
                scheme, at = (
                    ("mqtt", plant.endpoints["DEMO_MQTT_HOST"]) if name == "DEMO_MQTT_PORT" else ("opc.tcp", host)
                )
                typer.echo(f"{scheme}://{at}:{value}  ({name}={value})")
        try:
            async with asyncio.timeout(duration):
                await stop.wait()
        except TimeoutError:
            pass
