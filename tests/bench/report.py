"""Tables and the picture from results.json."""

import math
from pathlib import Path

TITLES = {
    "cygnet": "Cygnet",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "litert": "LiteRT",
    "ncnn": "ncnn",
    "mnn": "MNN",
    "tract": "tract",
    "rten": "rten",
}
MARK = "✗"


def good(record: dict) -> bool:
    """Whether the engine ran the model and was right."""
    return not record["failure"] and not record["wrong"]


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value <= 0:
        return "0"
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}"


def line(record: dict) -> str:
    """A record for the terminal."""
    head = f"  {record['engine']:12}"
    if record["failure"]:
        return f"{head} - {' '.join(record['failure'].split())[:150]}"
    text = (
        f"{head} min {record['min_ms']:9.3f}  median {record['median_ms']:9.3f}  cpu {record['cpu_ms']:9.3f} ms   load {record['load_ms']:8.2f}  "
        f"cold {record['cold_ms']:8.2f} ms"
    )
    if "model_bytes" in record:
        text += f"   {record['model_bytes'] / 2**20:7.1f} MiB"
    text += f"   off by {record['difference']:.0e}"
    if record["wrong"]:
        text += f"  {MARK} WRONG"
    if record["cpu_per_wall"] > record["threads"] + 0.15:
        text += f"  uses {record['cpu_per_wall']:.1f} threads"
    return text


def present(results: dict) -> list[str]:
    """Engines with a record, in the order of TITLES."""
    seen = {r["engine"] for r in results["records"]}
    return [e for e in TITLES if e in seen]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; columns after the first are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def grid(results: dict, threads: int, key: str, show, last: bool = False) -> str:
    """Models by engines; the best right answer is bold. `last` adds the ratio of the best peer to Cygnet."""
    engines = present(results)
    rows = []
    for model in results["models"]:
        records = {r["engine"]: r for r in results["records"] if r["model"] == model and r["threads"] == threads}
        if not records:
            continue
        values = {e: r[key] for e, r in records.items() if good(r) and r.get(key) is not None}
        best = min(values, key=values.get) if values else None
        row = [model]
        for engine in engines:
            record = records.get(engine)
            if record is None or record["failure"] or record.get(key) is None:
                row.append("-")
                continue
            text = show(record)
            if record["wrong"]:
                text += f" {MARK}"
            row.append(f"**{text}**" if engine == best else text)
        if last:
            peers = [v for e, v in values.items() if e != "cygnet"]
            ratio = f"{min(peers) / values['cygnet']:.2f}" if peers and "cygnet" in values else "-"
            row.append(ratio)
        rows.append(row)
    head = ["model", *(TITLES[e] for e in engines)] + (["best peer / Cygnet"] if last else [])
    return table(head, rows) if rows else ""


def speedups(results: dict, few: int, many: int) -> str:
    """How many times quicker each engine is with more threads: models by engines, the best is bold."""
    engines = present(results)
    rows = []
    for model in results["models"]:
        ratios = {}
        for engine in engines:
            times = {
                r["threads"]: r["min_ms"]
                for r in results["records"]
                if r["model"] == model and r["engine"] == engine and good(r)
            }
            if few in times and many in times:
                ratios[engine] = times[few] / times[many]
        if ratios:
            best = max(ratios, key=ratios.get)
            shown = {e: f"{ratio:.2f}" for e, ratio in ratios.items()}
            rows.append([model, *(f"**{shown[e]}**" if e == best else shown.get(e, "-") for e in engines)])
    return table(["model", *(TITLES[e] for e in engines)], rows) if rows else ""


def mebibytes(key: str):
    """Shows bytes as MiB."""
    return lambda record: f"{record[key] / 2**20:.1f}"


def busy(machine: dict) -> bool:
    """Whether others used the machine before the run."""
    return (machine["load_average"] or 0) > 0.5 * (machine["cores"] or 1)


def markdown(results: dict) -> str:
    """All tables."""
    machine, settings = results["machine"], results["settings"]
    threads = sorted({r["threads"] for r in results["records"]})
    isa = ", ".join(machine["isa"]) or "unknown instruction sets"
    versions = ", ".join(f"{TITLES[e]} {results['versions'][e]}" for e in present(results))
    own = {r["about"].split()[0] for r in results["records"] if r["engine"] == "cygnet" and r.get("about")}
    precisions = " and ".join(sorted({r["precision"] for r in results["records"]}))
    text = (
        f"{results['date']}; {machine['cores']} cores, {machine['cpu']} ({isa}), {machine['system']}"
        + (f", load average {machine['load_average']:.1f} before the run" if machine["load_average"] is not None else "")
        + ".\n"
        + ("**The machine was busy: read CPU times, not latencies.**\n" if busy(machine) else "")
        + f"{versions}.\n"
        + (f"Cygnet uses {', '.join(sorted(own))}.\n" if own else "")
        + f"{precisions.capitalize()}; {settings['rounds']} turns, {settings['seconds']:g} s an engine, "
        f"{settings['cold']} fresh processes.\n\n**Bold**: the best right answer of a row. {MARK}: wrong by more than "
        "1e-3 of the largest magnitude, int8 by more than 0.1 of it from the same graph in floats. -: did not run; "
        "results.json has the reason.\n"
    )
    for count in threads:
        text += f"\n### Latency in ms, minimum / median, {count} thread{'s' if count > 1 else ''}\n\n"
        both = lambda r: f"{number(r['min_ms'])} / {number(r['median_ms'])}"  # noqa: E731
        text += grid(results, count, "min_ms", both, last=True)
        text += f"\n### CPU time of an inference in ms, all threads, best turn, {count} thread{'s' if count > 1 else ''}\n\n"
        text += grid(results, count, "cpu_ms", lambda r: number(r["cpu_ms"]), last=True)
    for count in threads[1:]:
        text += f"\n### Speed-up of {count} threads over {threads[0]} (ratio of the minima)\n\n"
        text += speedups(results, threads[0], count)
    if threads:
        count = threads[0]
        plural = "s" if count > 1 else ""
        text += f"\n### First answer of a fresh process in ms (load and first inference), {count} thread{plural}\n\n"
        text += grid(results, count, "cold_ms", lambda r: number(r["cold_ms"]), last=True)
        text += f"\n### Load time in ms, {count} thread{plural}\n\n"
        text += grid(results, count, "load_ms", lambda r: number(r["load_ms"]))
        text += (
            f"\n### Peak resident memory in MiB over that of the same process before it opened the model, "
            f"{count} thread{plural}\n\n"
        )
        text += grid(results, count, "model_bytes", mebibytes("model_bytes"), last=True)
        text += f"\n### Peak resident memory of the whole process in MiB, {count} thread{plural}\n\n"
        text += grid(results, count, "peak_bytes", mebibytes("peak_bytes"))
        empty = {kind(r): r["empty_bytes"] for r in results["records"] if r.get("empty_bytes")}
        if empty:
            shown = ", ".join(f"{k} {v / 2**20:.1f} MiB" for k, v in sorted(empty.items()))
            text += f"\nThe same process without an engine: {shown}.\n"
    sizes = library_sizes(results)
    if sizes:
        text += "\n### Native library in MiB\n\n"
        engines = [e for e in present(results) if e in sizes]
        text += table(["", *(TITLES[e] for e in engines)], [["size", *(f"{sizes[e] / 2**20:.1f}" for e in engines)]])
        text += (
            "\nCygnet and rten: what linking them adds to a stripped binary. Others: the libraries of the Python package "
            "that the process loads.\n"
        )
    skipped = {name: m["skipped"] for name, m in results["models"].items() if "skipped" in m}
    for name, reason in skipped.items():
        text += f"\nSkipped: {name} ({reason}).\n"
    return text


def kind(record: dict) -> str:
    """The kind of process that holds an engine."""
    return "Rust" if record["engine"] in ("cygnet", "rten") else "Python"


def library_sizes(results: dict) -> dict[str, int]:
    """Bytes of each engine's native code: the most that any model made it load."""
    sizes = {e: s for e, s in results["library_bytes"].items() if e in present(results)}
    for record in results["records"]:
        if record.get("library_bytes"):
            sizes[record["engine"]] = max(sizes.get(record["engine"], 0), record["library_bytes"])
    return sizes


def picture(results: dict, path: Path) -> None:
    """One panel a question, one row a model, one mark an engine."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    records = [r for r in results["records"] if not r["failure"]]
    models = [m for m in results["models"] if any(r["model"] == m for r in records)]
    if not models:
        return
    threads = sorted({r["threads"] for r in records})
    key, what = ("cpu_ms", "CPU time") if busy(results["machine"]) else ("min_ms", "latency")
    panels = [(key, t, f"{what}, {t} thread{'s' if t > 1 else ''}\n(times the least)", True) for t in threads]
    panels += [
        ("cold_ms", threads[0], "first answer of a\nfresh process (ms)", False),
        ("model_bytes", threads[0], "peak memory for the\nmodel (MiB)", False),
    ]
    colours = dict(zip([e for e in TITLES if e != "cygnet"], plt.get_cmap("Dark2").colors))
    colours["cygnet"] = "black"
    marks = dict(zip(TITLES, ["*", "o", "s", "^", "D", "v", "P", "X"]))
    height = 1.8 + 0.42 * len(models)
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), height), sharey=True, squeeze=False)
    for axis, (key, count, title, relative) in zip(axes[0], panels):
        for row, model in enumerate(models):
            here = [r for r in records if r["model"] == model and r["threads"] == count and r.get(key) is not None]
            right = [r[key] for r in here if good(r)]
            for record in here:
                value = record[key] / (min(right) if relative and right else 2**20 if key.endswith("bytes") else 1)
                engine = record["engine"]
                axis.plot(
                    max(value, 0.05),
                    row,
                    marks[engine],
                    color=colours[engine],
                    markersize=12 if engine == "cygnet" else 7,
                    fillstyle="full" if good(record) else "none",
                    alpha=1 if engine == "cygnet" else 0.8,
                    zorder=3 if engine == "cygnet" else 2,
                )
        axis.set_xscale("log")
        axis.set_title(title, fontsize=10)
        axis.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
        axis.tick_params(axis="x", labelsize=8)
        axis.grid(axis="both", color="0.9", linewidth=0.8)
        axis.set_axisbelow(True)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
        if relative:
            axis.xaxis.set_major_locator(matplotlib.ticker.FixedLocator([1, 1.5, 2, 3, 5, 10, 20, 50]))
            axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axes[0][0].set_yticks(range(len(models)), models)
    axes[0][0].set_ylim(len(models) - 0.5, -0.5)
    handles = [
        plt.Line2D([], [], marker=marks[e], color=colours[e], linestyle="", label=TITLES[e]) for e in present(results)
    ]
    if any(r["wrong"] for r in records):
        handles.append(plt.Line2D([], [], marker="o", color="0.3", fillstyle="none", linestyle="", label="wrong answer"))
    figure.legend(handles=handles, loc="lower center", ncol=len(handles), frameon=False, fontsize=9)
    figure.tight_layout(rect=(0, 0.55 / height, 1, 1))
    figure.savefig(path, dpi=150)
    plt.close(figure)
