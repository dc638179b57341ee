"""Give each job to a handler, in a separate task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from .handlers import Run
from .job import Job


async def serve_jobs(jobs: AsyncIterator[Job], run: Run) -> None:
    """Return when no more jobs come and all have ended. The slots of the instance limit how many run at a time."""
    async with asyncio.TaskGroup() as group:
        async for job in jobs:
            group.create_task(_work_on(job, run), name=f"agenthall.work.{job.job_id}")


async def _work_on(job: Job, run: Run) -> None:
    async with job:
        await run(job)
