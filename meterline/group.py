"""The workers' group in Kafka: who is in it, and who has left for good.

A worker has a fixed name in its group, so that one that is started again has its partitions back at once. The other
side of it: neither a stop nor a crash is taken for leaving, and the partitions of one that is removed wait until its
session ends. So it is taken out of the group by name.
"""

from __future__ import annotations

from contextlib import closing

from kafka.admin import KafkaAdminClient, MemberToRemove
from kafka.errors import CoordinatorNotAvailableError, NoError, UnknownMemberIdError

from meterline.settings.servers import KafkaSection

GROUP = "meterline"
#: Its members have a consumer each for the backfill's lane.
BACKFILL_GROUP = f"{GROUP}-backfill"


def members(kafka: KafkaSection) -> tuple[str, list[str]]:
    """State of the group, and the instance names of its members; a member without a name is ''."""
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        return _members(admin)


def leave(kafka: KafkaSection, instance: str) -> bool:
    """Take a stopped worker out of the group; its partitions go to the others at once.

    One that still runs notices, and joins again.

    Returns
    -------
    bool
        False when no member has that name.

    Raises
    ------
    kafka.errors.KafkaError
        When Kafka doesn't answer, or refuses.
    """
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        return _leave(admin, instance)


def leave_beyond(kafka: KafkaSection, workers: int) -> list[str]:
    """Take the stopped workers out of the group whose numbers lie beyond 0…`workers` − 1; returns their names."""
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        _, names = _members(admin)
        beyond = [name for name in names if name.isdecimal() and int(name) >= workers]
        return [name for name in beyond if _leave(admin, name)]


def _leave(admin: KafkaAdminClient, instance: str) -> bool:
    left = _remove(admin, GROUP, instance)
    _remove(admin, BACKFILL_GROUP, instance)
    return left


def _remove(admin: KafkaAdminClient, group: str, instance: str) -> bool:
    removed = admin.remove_group_members(group, [MemberToRemove(group_instance_id=f"{group}-{instance}")])
    for error in removed.values():
        if error is UnknownMemberIdError:
            return False
        if error is not NoError:
            raise error
    return True


def _members(admin: KafkaAdminClient) -> tuple[str, list[str]]:
    try:
        group = admin.describe_groups([GROUP])[GROUP]
    except CoordinatorNotAvailableError:
        return "without a coordinator", []  # a new cluster is making its offsets topic
    names = [member["group_instance_id"] or "" for member in group["members"]]
    return group["group_state"], [name.removeprefix(f"{GROUP}-") for name in names]
