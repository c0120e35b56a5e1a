"""One whole run: every load in turns with what bounds it, then the mix beside floods of guesses, and the ratios."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.bench import limits, machine, phases, refusals, server
from tests.bench.cpu import children_of, pss_megabytes
from tests.bench.options import Options
from tests.bench.phases import Measured
from tests.bench.report import cpu_ms, figures_of, percentiles
from tests.bench.server import Site

LOADS: dict[str, phases.Plan] = {
    "refresh": phases.refresh,
    "sign_in": phases.sign_in,
    "client_credentials": phases.client_credentials,
    "introspection": phases.introspection,
    "jwks": phases.jwks,
    "mix": phases.mix,
}
FLOODS = {"idle": None, "flood": phases.GUESSES_PER_SECOND, "storm": 0.0}  # guesses a second; 0: as many as are answered
KEYCLOAK_REFRESHES_PER_VCPU = 120  # its published sizing guide


def measure(options: Options, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Every figure by its name. `failures` is empty when everything was answered as it should be."""
    with ExitStack() as stack:
        stores = stack.enter_context(server.stores(database=options.database))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        say(f"{options.users} users on {stores.database}")
        site = stack.enter_context(
            server.site(
                "here",
                stores,
                folder / "here",
                root=server.ROOT,
                users=options.users,
                starts=options.rounds,
                served_by=options.served_by,
                **server.argon2(options.argon2, root=server.ROOT),
            )
        )
        bare = stack.enter_context(server.bare_site(folder / "bare", processes=len(children_of(site.served.pid))))
        measured, speeds = _in_turns(site, bare, options, say=say)
        floods = _beside_guesses(site, options, say=say)
        say("refusals")
        refused = refusals.timed(site, tries=max(3, int(10 * options.seconds)))
        run = {
            "at": machine.now(),
            **machine.revision(server.ROOT),
            "machine": machine.described(stores) | {"argon2": machine.argon2_of(site.served.pid)},
            "options": asdict(options),
            "processes": len(children_of(site.served.pid)),
            "phases": {name: figures_of(each) for name, each in measured.items()},
            "limits": _named(speeds),
            "floods": {name: _of_flood(*each) for name, each in floods.items()},
            "refusals": {name: percentiles(seconds) for name, seconds in refused.items()},
            "pss_mb": _memory(site),
            "cold_start_seconds": round(site.served.start_seconds, 2),
            "cold_start_cpu_seconds": round(site.served.start_cpu_seconds, 2),
            "failures": [
                f"{name}: {failure}"
                for name, each in {**measured, **{name: mix for name, (mix, _) in floods.items()}}.items()
                for failure in each.failures()
            ],
        }
        return run | {"ratios": ratios_of(run)}


def _in_turns(
    site: Site, bare: Site, options: Options, *, say: Callable[[str], None]
) -> tuple[dict[str, Measured], dict[str, limits.Speed]]:
    """So that whatever else the machine does falls on all alike."""
    seconds = options.seconds / options.rounds
    measured: dict[str, list[Measured]] = {name: [] for name in (*LOADS, "bare_view")}
    speeds: dict[str, list[limits.Speed]] = {"rsa": [], "argon2_one": [], "argon2_all": []}
    for turn in range(1, options.rounds + 1):
        for name, plan in LOADS.items():
            say(f"{name}, {turn} of {options.rounds}")
            measured[name].append(phases.run(site, plan, seconds=seconds))
            if name == "refresh":
                speeds["rsa"].append(limits.rsa_signatures(seconds / 2))
            elif name == "sign_in":
                speeds["argon2_one"].append(limits.argon2_verifies(seconds / 2, processes=1))
                speeds["argon2_all"].append(limits.argon2_verifies(seconds / 2, processes=server.processors()))
            elif name == "jwks":
                measured["bare_view"].append(phases.run(bare, phases.bare_view, seconds=seconds))
    return {name: phases.together(parts) for name, parts in measured.items()}, {name: _mean(found) for name, found in speeds.items()}


def _beside_guesses(site: Site, options: Options, *, say: Callable[[str], None]) -> dict[str, tuple[Measured, Measured | None]]:
    """By the name of the flood the mix at a steady pace, and the guesses beside it."""
    mixes: dict[str, list[Measured]] = {name: [] for name in FLOODS}
    guesses: dict[str, list[Measured]] = {name: [] for name in FLOODS}
    pace = phases.STEADY_PER_SECOND
    for turn in range(1, options.rounds + 1):
        for name, rate in FLOODS.items():
            say(f"{name}, {turn} of {options.rounds}")
            if rate is None:
                mixes[name].append(phases.run(site, phases.mix, seconds=options.seconds, rate=pace))
                continue
            mix, guessed = phases.run_in_a_flood(site, phases.mix_in_a_flood, seconds=options.seconds, rate=pace, guesses_per_second=rate)
            mixes[name].append(mix)
            guesses[name].append(guessed)
    return {name: (phases.together(mixes[name]), phases.together(found) if found else None) for name, found in guesses.items()}


def _memory(site: Site) -> dict[str, float]:
    sizes = pss_megabytes([site.served.pid])
    workers = [f"worker {number}" for number in range(1, len(sizes))]
    return {name: round(size, 1) for name, size in zip(("master", *workers), sizes.values(), strict=True)}


def _of_flood(mix: Measured, guesses: Measured | None) -> dict[str, Any]:
    return {
        "refresh": percentiles(mix.outcomes["refresh"].seconds if "refresh" in mix.outcomes else []),
        "answers": mix.answers(),
        "guesses_per_second": 0.0 if guesses is None else round(guesses.good() / guesses.result.duration, 1),
        "guesses": {} if guesses is None else guesses.answers(),
    }


def _named(speeds: dict[str, limits.Speed]) -> dict[str, float]:
    rsa, one, every = speeds["rsa"], speeds["argon2_one"], speeds["argon2_all"]
    named = {
        "rsa2048_signatures_per_second_one_core": rsa.per_second,
        "rsa2048_signature_cpu_ms": rsa.cpu_ms,
        "argon2_verifies_per_second_one_process": one.per_second,
        "argon2_verify_cpu_ms_one_process": one.cpu_ms,
        "argon2_verifies_per_second_all_cores": every.per_second,
        "argon2_verify_cpu_ms_all_cores": every.cpu_ms,
    }
    return {name: round(value, 3) for name, value in named.items()}


def _mean(found: list[limits.Speed]) -> limits.Speed:
    return limits.Speed(fmean(each.per_second for each in found), fmean(each.cpu_ms for each in found))


def ratios_of(run: dict[str, Any]) -> dict[str, float | None]:
    """None where nothing was answered."""
    loads, at_best, floods = run["phases"], run["limits"], run["floods"]
    p99 = {name: each["refresh"]["p99_ms"] for name, each in floods.items()}
    refresh, sign_in = loads["refresh"], loads["sign_in"]
    pairs = {
        "refresh_cpu_per_signature": (cpu_ms(refresh), at_best["rsa2048_signature_cpu_ms"]),
        "refresh_rate_per_signature_rate": (refresh["per_second"], at_best["rsa2048_signatures_per_second_one_core"]),
        "refresh_per_core_per_keycloak": (refresh["per_second"] / run["machine"]["cores"], KEYCLOAK_REFRESHES_PER_VCPU),
        "signin_per_verify": (sign_in["per_second"], at_best["argon2_verifies_per_second_all_cores"]),
        "signin_cpu_per_verify": (cpu_ms(sign_in), at_best["argon2_verify_cpu_ms_all_cores"]),
        "jwks_per_bare_view": (loads["jwks"]["per_second"], loads["bare_view"]["per_second"]),
        "mix_p99_flood_per_idle": (p99["flood"], p99["idle"]),
        "mix_p99_storm_per_idle": (p99["storm"], p99["idle"]),
    }
    return {name: round(one / other, 3) if one is not None and other else None for name, (one, other) in pairs.items()}
