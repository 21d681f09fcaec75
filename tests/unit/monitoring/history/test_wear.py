"""The bytes that may be written for thumbnails."""

from camiohookd.monitoring.history.wear import AT_FIRST, BYTES_A_DAY, MOST_SAVED, PLENTY, WearBudget


def test_a_burst_uses_the_budget_up_and_time_refills_it() -> None:
    now = [0.0]
    budget = WearBudget(lambda: now[0])
    for _ in range(AT_FIRST // PLENTY):
        assert budget.is_plenty()
        budget.spend(PLENTY)
    budget.spend(PLENTY)
    assert not budget.is_plenty()
    now[0] += 86400 * PLENTY / BYTES_A_DAY + 1
    assert budget.is_plenty()
    now[0] += 10 * 86400
    for _ in range(MOST_SAVED // PLENTY):
        assert budget.is_plenty()
        budget.spend(PLENTY)
    assert not budget.is_plenty()
