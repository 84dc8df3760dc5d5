"""A server that is reached through a proxy, which a fault can make slow or unreliable for a while."""

from collections.abc import Callable

from faulty_proxy import Fault, FaultyProxy

__all__ = ["Proxied"]

FaultOf = Callable[[str, str, int], Fault]


class Proxied:
    """`fault_of` (method, path, number of the request) may be replaced at any time."""

    def __init__(self, url: str) -> None:
        self.fault_of: FaultOf = no_fault
        self._proxy = FaultyProxy(url, self._ask)
        self.url, self.stop = self._proxy.url, self._proxy.stop

    @property
    def faults(self) -> int:
        """How many there were so far."""
        return self._proxy.faults

    def mend(self) -> None:
        self.fault_of = no_fault

    def _ask(self, method: str, path: str, number: int) -> Fault:
        return self.fault_of(method, path, number)


def no_fault(*_: object) -> Fault:
    return None
