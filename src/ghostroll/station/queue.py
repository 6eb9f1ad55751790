"""The engine's view of the ledger: claims and settlements, each with its facts in one transaction."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from ghostroll.engine.crew import ClaimTaken, Crew
from ghostroll.engine.settle import Settlement
from ghostroll.errors import StateUnusable
from ghostroll.faults import crash_point
from ghostroll.model import Stage, Task, TaskState
from ghostroll.state import tasks
from ghostroll.state.database import Database

OnFailed = Callable[[sqlite3.Connection, Settlement], None]


class LedgerQueue:
    """Claims and settles in SQLite. `on_failed` writes what a dead or parked task means for its subject."""

    def __init__(
        self, database: Database, now: Callable[[], float], on_failed: Mapping[Stage, OnFailed]
    ) -> None:
        self._database, self._now, self._on_failed = database, now, on_failed

    def claim(self, crew: Crew) -> list[Task]:
        """Take due tasks for a crew."""
        with self._database.write() as db:
            return self._claim(db, crew)

    def settle(self, crew: Crew, settlements: Sequence[Settlement], *, claim_next: bool) -> list[Task]:
        """Settle tasks together with the facts they made, and claim what is next, all or nothing."""
        try:
            with self._database.write() as db:
                for settlement in settlements:
                    self._settle(db, crew, settlement)
                crash_point("engine.facts_written")
                return self._claim(db, crew) if claim_next else []
        except tasks.LostClaim as error:
            raise ClaimTaken(str(error)) from error

    def _settle(self, db: sqlite3.Connection, crew: Crew, settlement: Settlement) -> None:
        tasks.settle(
            db,
            settlement.task,
            settlement.state,
            charged=settlement.charged,
            due=settlement.due,
            cause=settlement.cause,
            error=settlement.error,
        )
        if settlement.facts is not None:
            settlement.facts(db)
        if settlement.state in (TaskState.DEAD, TaskState.PARKED) and crew.stage in self._on_failed:
            self._on_failed[crew.stage](db, settlement)

    def next_due(self, crew: Crew) -> float | None:
        """When the next ready task of a crew may be claimed (boot-time seconds), None for none."""
        with self._database.read() as db:
            return tasks.next_due(db, crew.stage, crew.job, crew.rank)

    def is_lost(self, error: Exception) -> bool:
        """Whether an error is of SQLite's file or its disk, and not of what was asked."""
        asked = sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError
        return isinstance(error, StateUnusable | sqlite3.DatabaseError) and not isinstance(error, asked)

    def _claim(self, db: sqlite3.Connection, crew: Crew) -> list[Task]:
        return tasks.claim(
            db,
            crew.stage,
            job=crew.job,
            limit=crew.batch,
            weight=crew.batch_weight,
            rank=crew.rank,
            now=self._now(),
        )
