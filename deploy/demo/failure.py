"""The one error the demonstration shows a person: what failed, and what to do."""


class Failure(Exception):
    """`str()` is shown as it is: one sentence, then the remedy on further lines if there is one."""
