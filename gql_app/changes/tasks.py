"""Ending tasks that run in the background."""

import asyncio


async def stop_task(task: "asyncio.Task[None]") -> None:
    """Cancel a task until it ends: a client library may take a cancellation for its own timeout."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)
