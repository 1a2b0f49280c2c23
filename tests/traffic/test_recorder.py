"""The books of requests: rows by endpoint and due second, deltas that add up, nothing that disappears."""

from hypothesis import given
from hypothesis import strategies as st

from harness import histogram
from harness.traffic.recorder import EXEMPLARS_PER_FAILURE, MAX_ENDPOINTS, NS_PER_S, OTHER_ENDPOINTS, Recorder

S = NS_PER_S


def recorder(exemplars: int = 100) -> Recorder:
    """Empty books of worker 0."""
    return Recorder(0, exemplars=exemplars)


def test_a_request_counts_in_the_second_it_was_due() -> None:
    """Sent at 2.1 s, 300 ms late: it belongs to second 1, with latency from the due time beside the service time."""
    books = recorder()
    books.close(books.open("GET /", 21 * S // 10, 3 * S // 10), "GET /", 50_000)
    (row,) = books.rows(10, at_ns=7)
    assert (row.second, row.started, row.finished, row.at_ns) == (1, 1, 1, 7)
    assert histogram.decode([row.service_ok]).counts == {histogram.bucket_of(50_000): 1}
    assert histogram.decode([row.due_ok]).counts == {histogram.bucket_of(350_000): 1}


def test_rows_are_deltas_of_the_same_second() -> None:
    """An answer that comes after its second was reported is a later row of that second; the sum is exact."""
    books = recorder()
    late = books.open("GET /", 0, 0)
    books.close(books.open("GET /", 0, 0), "GET /", 1000)
    first = list(books.rows(1, at_ns=0))
    books.close(late, "GET /", 5_000_000)
    second = list(books.rows(6, at_ns=0))
    assert [(row.started, row.finished) for row in first + second] == [(2, 1), (0, 1)]
    assert [row.second for row in first + second] == [0, 0]


def test_open_seconds_are_not_reported() -> None:
    """Only seconds before the given one are handed out."""
    books = recorder()
    books.open("GET /", 3 * S, 0)
    assert list(books.rows(3, at_ns=0)) == []
    assert [row.started for row in books.rows(4, at_ns=0)] == [1]


def test_failures_have_their_own_histograms_and_classes() -> None:
    """A failed request is finished, counted by class, and not among the successes."""
    books = recorder()
    books.close(books.open("GET /", 0, 0), "GET /", 10, "5xx", "status 503")
    (row,) = books.rows(1, at_ns=0)
    assert (row.finished, dict(row.failed), row.due_ok, row.service_ok) == (1, {"5xx": 1}, "", "")
    assert histogram.decode([row.service_failed]).total == 1


def test_a_renamed_request_moves_to_its_name() -> None:
    """A scenario that renames a request after sending it leaves no ghost under the old name."""
    books = recorder()
    books.close(books.open("GET /1", 0, 0), "GET /[id]", 10)
    assert [(row.endpoint, row.started, row.finished) for row in books.rows(1, at_ns=0)] == [("GET /[id]", 1, 1)]


def test_closing_twice_counts_once() -> None:
    """The first outcome stands: an answer that comes after the loss was declared changes nothing."""
    books = recorder()
    request = books.open("GET /", 0, 0)
    assert books.lose_all() == 1
    books.close(request, "GET /", 10)
    (row,) = books.rows(1, at_ns=0)
    assert (row.started, row.finished, row.lost) == (1, 0, 1)
    assert books.audit() == {}


def test_exemplars_are_bounded_by_failure_and_by_run() -> None:
    """Five of each endpoint and class, and no more than the worker's share in all."""
    books = recorder(exemplars=EXEMPLARS_PER_FAILURE + 1)
    for endpoint in ("GET /a", "GET /b"):
        for _ in range(20):
            books.close(books.open(endpoint, 0, 0), endpoint, 10, "4xx", "status 404")
    kept = books.exemplars(at_ns=0)
    assert [exemplar.endpoint for exemplar in kept] == ["GET /a"] * EXEMPLARS_PER_FAILURE + ["GET /b"]
    assert books.exemplars(at_ns=0) == []


def test_endpoints_are_bounded() -> None:
    """A scenario with ids in its names ends in one common row, not in one row per id."""
    books = recorder()
    for number in range(MAX_ENDPOINTS + 5):
        books.close(books.open(f"GET /{number}", 0, 0), f"GET /{number}", 10)
    rows = {row.endpoint: row for row in books.rows(1, at_ns=0)}
    assert len(rows) == MAX_ENDPOINTS + 1
    assert rows[OTHER_ENDPOINTS].finished == 5


outcomes = st.lists(
    st.tuples(st.integers(0, 3 * S), st.integers(0, S), st.sampled_from(["ok", "4xx", "lost", "late"])), max_size=60
)


@given(outcomes=outcomes, cut=st.integers(0, 4))
def test_started_is_finished_and_lost_whatever_happens(outcomes: list[tuple[int, int, str]], cut: int) -> None:
    """However rows are cut, per due second everything started is finished or lost, and histograms hold every answer."""
    books = recorder()
    late = []
    for start_ns, lag_ns, outcome in outcomes:
        request = books.open("GET /", start_ns, min(lag_ns, start_ns))
        if outcome == "late":
            late.append(request)
        elif outcome != "lost":
            books.close(request, "GET /", 1000, "" if outcome == "ok" else outcome, "m")
    rows = list(books.rows(cut, at_ns=0))
    for request in late:
        books.close(request, "GET /", 2000)
    books.lose_all()
    rows += books.rows(1 << 40, at_ns=0)
    for second in {row.second for row in rows}:
        mine = [row for row in rows if row.second == second]
        assert sum(row.started for row in mine) == sum(row.finished + row.lost for row in mine)
        answers = histogram.decode([row.due_ok for row in mine] + [row.due_failed for row in mine])
        assert answers.total == sum(row.finished for row in mine)
    assert sum(row.started for row in rows) == len(outcomes)
    assert books.audit() == {}
    assert books.in_flight == 0
