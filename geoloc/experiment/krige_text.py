"""What a terminal shows of a run of `geoloc krige`."""

from __future__ import annotations

from geoloc.experiment.krige_run import KrigeResult
from geoloc.experiment.krige_validation import CHECK_NAMES
from geoloc.experiment.variogram_text import aligned, variogram_report
from geoloc.viz.variogram_words import fit_name, number, range_words


def krige_terminal(result: KrigeResult) -> str:
    """The stations, the semivariogram and its model, a line a check, and the files."""
    data, curve = result.data, result.curve
    steps = data.stations.value.shape[1]
    when = f", {steps:,} times" if steps > 1 else ""
    head = f"{data.name}: {len(data.stations):,} stations{when}, {result.targets:,} targets"
    if curve.given or curve.variogram is None:
        fit = curve.fit
        lines = [
            head,
            f"{fit_name(fit)}, given: nugget {number(fit.nugget)}, sill {number(fit.sill)}, "
            f"effective range {range_words(fit)}",
        ]
    else:
        report = variogram_report(curve.variogram, curve.fit, curve.others, source=head)
        lines = report.splitlines()
    lines.append("")
    if result.scores:
        rows = [("", "values", "RMSE", "mean error", "Pearson", "standardised", "within 90 %")]
        for kind, each in result.scores.items():
            numbers = (number(each.rmse), number(each.mean_error))
            shares = (f"{each.standardised_variance:.3f}", f"{100 * each.coverage:.1f} %")
            pearson = f"{each.pearson:.3f}"
            rows.append((CHECK_NAMES[kind], f"{each.count:,}", *numbers, pearson, *shares))
        lines += aligned(rows)
        lines.append("standardised: mean of squared error / told variance, 1 where these are right")
    if result.block is not None:
        unit = curve.fit.unit
        lines.append(f"blocks of {number(result.block)} {unit}, each with its own semivariogram")
    lines += [f"note: {note}" for note in result.notes]
    return "\n".join([*lines, "written: " + ", ".join(str(file) for file in result.files)])
