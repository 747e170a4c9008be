"""Retention: runs and events that the rules keep no longer are deleted, bit by bit, in the background.

Nothing is looked at twice: for each length of time that some rule says, a *walk* goes through the ended runs in the
order of their ends, and passes each one when it is just so old. What it passes is deleted if the rule that counts for
it says that length, and is not looked at again if not. (Once a week a walk begins anew, for what could not be deleted
when its time came: a run that was held, a result that was not delivered.)
"""
