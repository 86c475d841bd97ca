"""FastAPI: every worker process of uvicorn answers from one shared map.

    uvicorn --app-dir examples --workers 2 fastapi_service:app
    curl localhost:8000/price/shoe
    sharedmap update example:prices shoe:=59.9
    curl localhost:8000/price/shoe

A lookup takes less than a microsecond and waits for nothing, so a coroutine can do it without a
thread. A change reaches all workers with their next request, without a restart.
"""

import os
from typing import Any

from fastapi import FastAPI, HTTPException

import sharedmap

NAME = os.environ.get("PRICES", "example:prices")

# The first worker publishes; the prices of an earlier start are kept.
sharedmap.share({"shoe": 79.9, "shirt": 25.0, "hat": 19.5}, NAME, exist_ok=True)

prices = sharedmap.sharedmap[float](NAME, follow=True)
app = FastAPI()


@app.get("/price/{article}")
async def price(article: str) -> dict[str, Any]:
    with prices.snapshot() as now:
        if article not in now:
            raise HTTPException(404, f"no article {article!r}")
        return {"article": article, "price": now[article], "version": now.generation}


@app.get("/prices")
async def all_prices(prefix: str = "") -> dict[str, float]:
    return dict(prices.prefix(prefix))
