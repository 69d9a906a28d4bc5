"""Writes references.json: learning rates as PyTorch, Hugging Face transformers and optax compute them.

Run it in a separate environment with torch, transformers, optax and jax; the tests need none of them.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import optax
import torch
import transformers
from torch.optim import lr_scheduler

jax.config.update("jax_enable_x64", True)

SHORT_STEPS = range(130)
LONG_STEPS = sorted({0, 1, 999, 1000, 2000, 5000, 9999, 10_000, 10_001, 99_999, 100_000, 123_457, 249_998, 249_999,
                     250_000, 314_159, 499_998, 500_000, 654_321, 749_999, 750_000, 790_000, 876_543, 900_000, 999_000,
                     999_998, 999_999})  # fmt: skip


def torch_rates(build: Callable[[Any], Any], peak: float, last: int, momentum: str = "momentum") -> Iterator[Any]:
    """Learning rate and momentum of each step, by stepping a real scheduler."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak, momentum=0.9)
    scheduler = build(optimizer)
    for _ in range(last + 1):
        yield optimizer.param_groups[0]["lr"], optimizer.param_groups[0][momentum]
        optimizer.step()
        try:
            scheduler.step()
        except ValueError:
            return


def case(source: str, schedule: str, arguments: dict[str, Any], pairs: Iterable[tuple[int, float]]) -> dict[str, Any]:
    """One entry of the file; twelve digits are a million times finer than the tests compare."""
    steps, rates = zip(*pairs, strict=True)
    return {"source": source, "schedule": schedule, "arguments": arguments, "steps": list(steps),
            "learning_rates": [float(f"{float(rate):.12g}") for rate in rates]}  # fmt: skip


def from_torch(name: str, options: dict[str, Any], schedule: str, arguments: dict[str, Any], steps: Any) -> dict:
    """A case from a class of `torch.optim.lr_scheduler`, with its momenta if it cycles them."""
    peak = options.pop("lr", 0.1)
    written = ", ".join(f"{key}={value!r}" for key, value in options.items())
    series = torch_rates(lambda optimizer: getattr(lr_scheduler, name)(optimizer, **options), peak, max(steps))
    wanted = set(steps)
    kept = [(step, *pair) for step, pair in enumerate(series) if step in wanted]
    entry = case(f"torch {torch.__version__.split('+')[0]} {name}({written}), lr={peak}", schedule, arguments,
                 [(step, rate) for step, rate, _ in kept])  # fmt: skip
    if name in ("OneCycleLR", "CyclicLR"):
        entry["momenta"] = [float(f"{momentum:.12g}") for _, _, momentum in kept]
    return entry


def torch_cases() -> Iterator[tuple[str, dict]]:
    """One-cycle, cyclical and restarts."""
    for shape, three, total in itertools.product(("cosine", "linear"), (False, True), (100, 1_000_000)):
        # PyTorch also answers for step `total`, by running on past the end.
        steps = [step for step in (SHORT_STEPS if total == 100 else LONG_STEPS) if step < total]
        strategy = {"cosine": "cos", "linear": "linear"}[shape]
        yield f"one_cycle-{shape}-{'three' if three else 'two'}-{total}", from_torch(
            "OneCycleLR",
            {"max_lr": 0.1, "total_steps": total, "pct_start": 0.25, "anneal_strategy": strategy,
             "three_phase": three, "div_factor": 20.0, "final_div_factor": 1e3},
            "OneCycle",
            {"peak_learning_rate": 0.1, "total_steps": total, "warmup_fraction": 0.25, "div_factor": 20.0,
             "final_div_factor": 1e3, "shape": shape, "three_phase": three},
            steps)  # fmt: skip
    for mode, (up, down) in itertools.product(("triangular", "triangular2", "exp_range"), ((7, None), (2000, 3000))):
        gamma = 0.99994 if mode == "exp_range" else 1.0
        yield f"cyclical-{mode}-{up}", from_torch(
            "CyclicLR",
            {"base_lr": 0.001, "max_lr": 0.1, "step_size_up": up, "step_size_down": down, "mode": mode, "gamma": gamma,
             "base_momentum": 0.85, "max_momentum": 0.95},
            "Cyclical",
            {"base_learning_rate": 0.001, "max_learning_rate": 0.1, "up_steps": up, "down_steps": down, "mode": mode,
             "gamma": gamma},
            SHORT_STEPS if up == 7 else LONG_STEPS)  # fmt: skip
    for first, growth in ((10, 1), (10, 2), (1000, 3)):
        yield f"cosine_restarts-{first}-{growth}", from_torch(
            "CosineAnnealingWarmRestarts", {"T_0": first, "T_mult": growth, "eta_min": 1e-4}, "CosineRestarts",
            {"initial_learning_rate": 0.1, "first_decay_steps": first, "t_mul": float(growth),
             "end_learning_rate": 1e-4},
            LONG_STEPS if first == 1000 else SHORT_STEPS)  # fmt: skip


def from_transformers(name: str, options: dict[str, Any], schedule: str, arguments: dict[str, Any], steps: Any) -> dict:
    """A case from a `get_*_schedule` function of Hugging Face; the scheduler's own multiplier gives each step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-3)
    scheduler = getattr(transformers, name)(optimizer, **options)
    written = ", ".join(f"{key}={value!r}" for key, value in options.items())
    multiplier = scheduler.lr_lambdas[0]
    return case(f"transformers {transformers.__version__} {name}({written}), lr=3e-3", schedule, arguments,
                [(step, 3e-3 * multiplier(step)) for step in steps])  # fmt: skip


def transformers_cases() -> Iterator[tuple[str, dict]]:
    """Warmups, polynomial, warmup-stable-decay and inverse square root."""
    for total, steps in ((100, SHORT_STEPS), (1_000_000, LONG_STEPS)):
        warm, decay = total // 100 * 10, total // 5
        yield f"warmup_linear-{total}", from_transformers(
            "get_constant_schedule_with_warmup", {"num_warmup_steps": warm},
            "Warmup", {"schedule": 3e-3, "warmup_steps": warm}, steps)  # fmt: skip
        yield f"warmup_stable_decay-cosine-{total}", from_transformers(
            "get_cosine_schedule_with_warmup", {"num_warmup_steps": warm, "num_training_steps": total},
            "WarmupStableDecay",
            {"peak_learning_rate": 3e-3, "decay_steps": total - warm, "warmup_steps": warm, "decay_shape": "cosine"},
            [step for step in steps if step <= total])  # fmt: skip
        for power in (0.5, 1.0, 2.0):
            yield f"polynomial-{power}-{total}", from_transformers(
                "get_polynomial_decay_schedule_with_warmup",
                {"num_warmup_steps": warm, "num_training_steps": total, "lr_end": 1e-5, "power": power},
                "Polynomial",
                {"peak_learning_rate": 3e-3, "decay_steps": total - warm, "warmup_steps": warm,
                 "end_learning_rate": 1e-5, "power": power}, steps)  # fmt: skip
        for up, down in itertools.product(("linear", "cosine"), ("linear", "cosine", "1-sqrt")):
            yield f"warmup_stable_decay-{up}-{down}-{total}", from_transformers(
                "get_wsd_schedule",
                {"num_warmup_steps": warm, "num_decay_steps": decay, "num_training_steps": total, "warmup_type": up,
                 "decay_type": down, "min_lr_ratio": 0.1},
                "WarmupStableDecay",
                {"peak_learning_rate": 3e-3, "decay_steps": decay, "warmup_steps": warm,
                 "stable_steps": total - warm - decay, "initial_learning_rate": 3e-4, "end_learning_rate": 3e-4,
                 "warmup_shape": up, "decay_shape": down}, steps)  # fmt: skip
        yield f"warmup_cosine-{total}", from_transformers(
            "get_wsd_schedule",
            {"num_warmup_steps": warm, "num_decay_steps": decay, "num_training_steps": total, "warmup_type": "cosine"},
            "Warmup", {"schedule": 3e-3, "warmup_steps": warm, "shape": "cosine"},
            [step for step in steps if step <= total - decay])  # fmt: skip
        yield f"inverse_sqrt-{total}", from_transformers(
            "get_inverse_sqrt_schedule", {"num_warmup_steps": warm},
            "InverseSqrt", {"peak_learning_rate": 3e-3, "warmup_steps": warm}, steps)  # fmt: skip


def from_optax(call: str, schedule: str, arguments: dict[str, Any], steps: Any) -> dict:
    """A case from an expression on optax's names, in double precision."""
    rates = eval(call, {**vars(optax)})
    return case(f"optax {optax.__version__} {call}, jax x64", schedule, arguments,
                [(step, rates(jax.numpy.asarray(step, "float64"))) for step in steps])  # fmt: skip


def optax_cases() -> Iterator[tuple[str, dict]]:
    """Joined schedules: sequences, flat then cosine, constant warmup, and restarts with lower peaks."""
    for total, steps in ((100, SHORT_STEPS), (1_000_000, LONG_STEPS)):
        tenth, quarter = total // 10, total // 4
        yield f"sequential-{total}", from_optax(
            f"join_schedules([linear_schedule(0.0, 0.02, {tenth}), constant_schedule(0.02), "
            f"polynomial_schedule(0.02, 0.001, 2.0, {quarter})], [{tenth}, {total // 2}])",
            "Sequential",
            {"schedules": [{"class": "Warmup", "arguments": {"schedule": 0.02, "warmup_steps": tenth}}, 0.02,
                           {"class": "Polynomial", "arguments": {"peak_learning_rate": 0.02, "decay_steps": quarter,
                                                                 "end_learning_rate": 0.001, "power": 2.0}}],
             "boundaries": [tenth, total // 2]}, steps)  # fmt: skip
        yield (
            f"flat_cosine-{total}",
            from_optax(
                f"join_schedules([constant_schedule(0.02), cosine_decay_schedule(0.02, {quarter}, alpha=0.05)], "
                f"[{total - quarter}])",
                "FlatCosine",
                {"initial_learning_rate": 0.02, "total_steps": total, "end_learning_rate": 0.001},
                steps,
            ),
        )
        yield f"warmup_constant-{total}", from_optax(
            f"join_schedules([constant_schedule(0.001), polynomial_schedule(0.02, 0.0, 1.0, {quarter})], [{tenth}])",
            "Warmup",
            {"schedule": {"class": "Polynomial", "arguments": {"peak_learning_rate": 0.02, "decay_steps": quarter}},
             "warmup_steps": tenth, "initial_learning_rate": 0.001, "shape": "constant"}, steps)  # fmt: skip
        cycles = ", ".join(
            f"dict(init_value={0.02 * 0.5**k}, peak_value={0.02 * 0.5**k}, warmup_steps=0, "
            f"decay_steps={total // 10 * 2**k}, end_value=0.0)"
            for k in range(4)
        )
        yield f"cosine_restarts-decaying-{total}", from_optax(
            f"sgdr_schedule([{cycles}])", "CosineRestarts",
            {"initial_learning_rate": 0.02, "first_decay_steps": total // 10, "t_mul": 2.0, "m_mul": 0.5},
            [step for step in steps if step < total])  # fmt: skip


def main() -> None:
    """Writes the file beside this script."""
    cases = dict(itertools.chain(torch_cases(), transformers_cases(), optax_cases()))
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(entry)}" for name, entry in cases.items())
    (Path(__file__).parent / "references.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
