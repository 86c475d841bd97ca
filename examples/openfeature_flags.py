"""OpenFeature: the flags of all workers come from one shared map.

    python examples/openfeature_flags.py

The application uses OpenFeature's client, as with any provider; `pip install '.[openfeature]'`
installs it. A flag is an entry of the map. An evaluation is a lookup in local memory, without a
server or a cache that could be stale. A change reaches every worker with its next evaluation.
"""

import multiprocessing
import os
from typing import Any

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

import sharedmap

NAME = f"example:openfeature:{os.getpid()}"  # a real service has one fixed name


class SharedMapProvider(AbstractProvider):
    """Flags of the types that a map stores: bool, str, int and float."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.flags = sharedmap.sharedmap[Any](name, follow=True)

    def get_metadata(self) -> Metadata:
        return Metadata("sharedmap")

    def shutdown(self) -> None:
        self.flags.close()

    def resolve(self, kind: type, flag: str, default: Any) -> FlagResolutionDetails[Any]:
        value = self.flags.get(flag)
        if value is None:
            return FlagResolutionDetails(
                default, ErrorCode.FLAG_NOT_FOUND, f"there is no flag {flag!r}", Reason.ERROR
            )
        if type(value) is not kind:  # True would be an int, too
            told = f"{flag!r} is of type {type(value).__name__}"
            return FlagResolutionDetails(default, ErrorCode.TYPE_MISMATCH, told, Reason.ERROR)
        return FlagResolutionDetails(value, reason=Reason.STATIC)

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        return self.resolve(bool, flag_key, default_value)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self.resolve(str, flag_key, default_value)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return self.resolve(int, flag_key, default_value)

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        return self.resolve(float, flag_key, default_value)

    def resolve_object_details(
        self, flag_key: str, default_value: Any, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Any]:
        told = "the map stores no objects"
        return FlagResolutionDetails(default_value, ErrorCode.TYPE_MISMATCH, told, Reason.ERROR)


def work(name: str, number: int, turn: Any) -> None:
    api.set_provider(SharedMapProvider(name))
    client = api.get_client()
    for _ in range(2):
        turn.wait()  # for the publisher
        is_on = client.get_boolean_value("new-checkout", False)
        limit = client.get_integer_value("cart-limit", 10)
        print(f"worker {number}: new-checkout is {is_on}, cart-limit is {limit}", flush=True)
        turn.wait()  # until all workers have asked


def main() -> None:
    context = multiprocessing.get_context("spawn")
    turn = context.Barrier(3)
    sharedmap.share({"new-checkout": False, "cart-limit": 50}, NAME)
    try:
        workers = [context.Process(target=work, args=(NAME, n, turn)) for n in range(2)]
        for worker in workers:
            worker.start()
        for is_on in (False, True):
            sharedmap.update(NAME, {"new-checkout": is_on})
            turn.wait()
            turn.wait()
        for worker in workers:
            worker.join()
    finally:
        sharedmap.remove(NAME)
    raise SystemExit(max(worker.exitcode or 0 for worker in workers))


if __name__ == "__main__":
    main()
