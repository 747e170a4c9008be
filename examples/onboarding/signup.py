"""What happens when somebody signs up."""

from __future__ import annotations

from datetime import timedelta

import inngest_celery as inngest
from examples.onboarding import mail
from examples.onboarding.app import client


@client.create_function(
    fn_id="onboard",
    trigger=inngest.TriggerEvent(event="user/signed.up"),
    # The form that is sent twice starts one run.
    idempotency="event.data.email",
    # Whoever unsubscribes hears no more of us, wherever the run stands.
    cancel=[inngest.Cancel(event="user/unsubscribed", if_exp="event.data.email == async.data.email")],
)
def onboard(ctx: inngest.ContextSync) -> str:
    """Welcome a user, and remind them after three days if they have done nothing.

    Not async, because smtplib is not.
    """
    email, name = str(ctx.event.data["email"]), str(ctx.event.data["name"])

    def write(step: str, subject: str, text: str) -> str:
        return ctx.step.run(step, mail.send, email, subject, f"Dear {name},\n\n{text}\n", f"{ctx.run_id}.{step}")

    try:
        write("welcome", "Welcome", "click here to activate your account.")
    except inngest.StepError as error:
        return f"cannot be reached: {error.message}"
    activated = ctx.step.wait_for_event(
        "activation",
        event="user/activated",
        if_exp="event.data.email == async.data.email",
        timeout=timedelta(days=3),
    )
    if activated:
        return "active"
    write("reminder", "Still there?", "your account waits to be activated.")
    return "reminded"
