"""Five people sign up, and a worker is killed while the mail server has a letter and has not said so yet."""

from __future__ import annotations

import argparse
import sys
from datetime import timedelta

from rich.table import Table

import inngest_celery as inngest
from examples.onboarding.app import app, client
from examples.onboarding.mailserver import Mailbox, running
from examples.stage import Stage, perform

# Whom it is about, and what must have become of them: the run's end, and the letters that they see.
_ENDS = {
    "ada": ("active", 1),
    "bob": ("reminded", 2),
    "cleo": ("cancelled", 1),
    "dan": ("reminded", 2),
    "nobody": ("cannot be reached: 550 5.1.1 no such user", 0),
}
_KILLED = "dan"


class Demo:
    """The performance."""

    def __init__(self, stage: Stage, mailbox: Mailbox) -> None:
        self._stage = stage
        self._mailbox = mailbox

    def play(self) -> bool:
        """Give whether everybody got what they should."""
        stage = self._stage
        worker = stage.start_worker()
        stage.say("Dan signs up; the mail server takes his welcome, and keeps the worker waiting for the 250 OK")
        self._mailbox.hold_next_answer(_address(_KILLED))
        runs = {_KILLED: self._tell("user/signed.up", _KILLED)}
        stage.until(self._mailbox.holding.is_set, "the letter to arrive")
        stage.kill(worker, "between the sending and the recording")
        stage.start_worker()
        runs |= {name: self._tell("user/signed.up", name) for name in _ENDS if name != _KILLED}
        stage.say("Ada, Bob, Cleo and somebody without a mailbox sign up; Ada's browser sends the form twice")
        self._tell("user/signed.up", "ada")
        stage.settle()

        stage.say("A day later Ada activates her account, and Cleo unsubscribes")
        stage.travel(timedelta(days=1))
        self._tell("user/activated", "ada")
        self._tell("user/unsubscribed", "cleo")
        stage.say("Two more days pass")
        stage.travel(timedelta(days=2, minutes=1))
        return self._report(runs)

    def _tell(self, event: str, name: str) -> str:
        [event_id] = client.send_sync(inngest.Event(name=event, data={"name": name.title(), "email": _address(name)}))
        return event_id

    def _report(self, runs: dict[str, str]) -> bool:
        table = Table("who", "the run", "letters handed over", "letters seen", title="\nWhat came of it")
        good = len(client.runs.list(limit=100)) == len(_ENDS)
        for name, (end, letters) in _ENDS.items():
            run = client.runs.get(runs[name])
            became = run.output if isinstance(run.output, str) else run.status.name.lower()
            shown = self._mailbox.shown_to(_address(name))
            copies = [len(copies) for copies in shown.values()]
            good &= (became, len(shown)) == (end, letters)
            # Nothing is repeated but the one letter whose sender was killed, and that one once.
            good &= sum(copies) == letters + (name == _KILLED)
            table.add_row(name, became, str(sum(copies)), str(len(shown)))
        self._stage.console.print(table)
        [twice] = [copies for copies in self._mailbox.shown_to(_address(_KILLED)).values() if len(copies) > 1]
        self._stage.console.print(
            f"Dan's welcome was handed over twice, under one name: {twice[0]['Message-ID']}. He sees it once.",
            soft_wrap=True,
            highlight=False,
        )
        return good


def _address(name: str) -> str:
    return f"{name}@mail.example"


def main() -> int:
    """Run the demo; the exit status says whether all was as it must be."""
    mailbox = Mailbox()

    def show(stage: Stage, _: argparse.Namespace) -> bool:
        return Demo(stage, mailbox).play()

    with running(mailbox) as smtp_url:
        return perform(lambda: app, "examples.onboarding", show, environment={"SMTP_URL": smtp_url})


if __name__ == "__main__":
    sys.exit(main())
