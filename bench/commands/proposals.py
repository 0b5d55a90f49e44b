"""Values for the next trials of a search, by optuna's tree-structured Parzen estimator (TPE). It needs the extra `search`.

What optuna is told is what the suite file and the records say, each time anew: it keeps nothing, so a search that was stopped goes
on with the proposals that it would have made.
"""

import math
from collections.abc import Sequence
from typing import Any

import optuna

from bench.suites.schema import Range, Search, Space
from bench.suites.sweep import Point, name_of, word

DIGITS = 3  # of a proposed number, which stands in a row's name; more where a range is narrow
STEPS = 1000  # that a range has at least
IN_VAIN = 100  # proposals in a row, all of which were tried before


def proposals(search: Search, trials: Sequence[Point], far: Sequence[float], count: int, seed: int) -> list[Point]:
    """Up to so many values that no trial has had, fewer where a hundred proposals in a row were none.

    far: of each trial, what is to be as small as can be; infinite for one that was lost, which is worse than any other.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=(seed * 1_000_003 + len(trials)) % 2**32)
    study = optuna.create_study(sampler=sampler)
    kinds = {key: distribution(of) for key, of in search.space.items()}
    for point, value in zip(trials, far, strict=True):
        study.add_trial(ended(point, value, search.space, kinds))
    made = {name_of(search.label, point) for point in trials}
    found, in_vain = list[Point](), 0
    while len(found) < count and in_vain < IN_VAIN:
        trial = study.ask(kinds)
        point = {key: value_of(of, trial.params[key]) for key, of in search.space.items()}
        if (name := name_of(search.label, point)) in made:
            in_vain += 1
        else:
            made.add(name)
            found.append(point)
            in_vain = 0
    return found


def distribution(of: Range | tuple[Any, ...]) -> optuna.distributions.BaseDistribution:
    """A range as optuna has it; of a list of values their places, which may be of any kind."""
    if not isinstance(of, Range):
        return optuna.distributions.CategoricalDistribution(range(len(of)))
    if isinstance(of.low, int):
        return optuna.distributions.IntDistribution(of.low, int(of.high), log=of.log)
    return optuna.distributions.FloatDistribution(of.low, of.high, log=of.log)


def value_of(of: Range | tuple[Any, ...], proposed: Any) -> Any:
    """What a row has of a proposal: of a real number so many digits that the range has STEPS values or more."""
    if not isinstance(of, Range):
        return of[proposed]
    if isinstance(proposed, int):
        return proposed
    step = (proposed * math.log(of.high / of.low) if of.log else of.high - of.low) / STEPS
    digits = max(DIGITS, math.ceil(math.log10(max(1.0, abs(proposed) / step))))
    return min(max(float(f"{proposed:.{digits}g}"), of.low), of.high)


def ended(point: Point, far: float, space: Space, kinds: dict[str, Any]) -> optuna.trial.FrozenTrial:
    """A trial as optuna is told of it: one that was lost as pruned, which TPE ranks behind all that have a value."""
    values = {key: point[key] if isinstance(of, Range) else [word(one) for one in of].index(word(point[key])) for key, of in space.items()}
    lost = not math.isfinite(far)
    state = optuna.trial.TrialState.PRUNED if lost else optuna.trial.TrialState.COMPLETE
    return optuna.trial.create_trial(params=values, distributions=kinds, value=None if lost else far, state=state)
