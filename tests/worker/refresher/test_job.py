"""The lines between a refresher and its sync."""

from __future__ import annotations

from worker.refresher.job import Job, Progress, Read, Report, Result, parse_line


def test_lines_come_back_as_they_were() -> None:
    """What is written is what is read."""
    progress = Progress(progress=Read(object="contact", rows=1_200))
    report = Report(result=Result(status="ok", rows={"contact": 1_200}, seconds=3.2))

    assert [parse_line(progress.line()), parse_line(report.line())] == [progress, report]


def test_a_line_that_a_library_printed_is_neither() -> None:
    """It does not end the run."""
    assert [parse_line(line) for line in ("", "hello", "{}", '{"progress": 3}', b"\xff")] == [None] * 5


def test_a_newer_refresher_may_say_more() -> None:
    """An unknown name in the job is passed over, and what is left out means everything."""
    job = Job.model_validate_json('{"connection": "Hubspot", "tomorrow": 1}')

    assert (job.connection, job.objects, job.full) == ("Hubspot", None, False)
