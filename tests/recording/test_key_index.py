"""The keys of a trace that grows, looked up by several threads."""

from __future__ import annotations

import threading
from dataclasses import replace

from tracetui.recording.key_index import KeyIndex
from tracetui.recording.record import Record


def record(index: int, site: str = "") -> Record:
    return Record(index, site or f"site.{index}", (1,), "float32", 0)


def test_a_record_is_found_as_soon_as_it_is_there_and_under_its_new_name() -> None:
    index, records = KeyIndex(), [record(0)]
    assert index.find("site.0", records) == 0
    assert index.find("site.1", records) is None
    records.append(record(1))
    assert index.find("site.1", records) == 1
    renamed = record(1, "site.1:before_edit")
    old, records[1] = records[1], renamed
    index.rename(old, renamed)
    records.append(record(2, "site.1"))
    assert (index.find("site.1", records), index.find("site.1:before_edit", records)) == (2, 1)


def test_records_that_are_renamed_while_others_look_are_all_found() -> None:
    index, records, over = KeyIndex(), [record(0)], threading.Event()

    def look() -> None:
        while not over.is_set():
            index.find("nowhere", records)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(1, 2000, 2):
        old = record(number)
        records.append(old)
        renamed = records[number] = replace(old, site=f"{old.site}:before_edit")
        index.rename(old, renamed)
        records.append(record(number + 1, old.site))
    over.set()
    for reader in readers:
        reader.join()
    assert all(index.find(each.key, records) == each.index for each in records)
