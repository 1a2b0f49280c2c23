"""The kinds of container faults: the name in YAML -> what does it. A new kind is a line here and a class of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.faults.container.facts import Kind
from harness.faults.container.fill import FillDisk
from harness.faults.container.firewall import Dns, Loss, Partition
from harness.faults.container.hands import Hands
from harness.faults.container.limits import Cpu, Memory
from harness.faults.container.network import Disconnect
from harness.faults.container.shaping import Delay, Rate
from harness.faults.container.state import Kill, Pause, Restart, Stop
from harness.faults.container.stress import StressCpu, StressIo, StressMemory

TABLE: Mapping[str, Callable[[Hands], Kind]] = {
    "kill": Kill,
    "stop": Stop,
    "restart": Restart,
    "pause": Pause,
    "disconnect": Disconnect,
    "cpu": Cpu,
    "memory": Memory,
    "partition": Partition,
    "loss": Loss,
    "dns": Dns,
    "rate": Rate,
    "delay": Delay,
    "stress-cpu": StressCpu,
    "stress-memory": StressMemory,
    "stress-io": StressIo,
    "fill-disk": FillDisk,
}
